"""What is wrong, and how much is used: findings for people, metrics for Prometheus."""
