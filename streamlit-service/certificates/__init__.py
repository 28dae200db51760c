"""Helpers of auth.py: certificate chains and revocation."""
