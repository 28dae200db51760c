"""Helpers of docker_manager.py: the SSH tunnel, probes of a VM, errors in words."""
