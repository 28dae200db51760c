"""Who starts where and when: placement, the queue, admission and quotas."""
