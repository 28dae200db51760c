"""The SSH door: what ssh_door.py serves. The only way in by SSH that people need."""
