"""What the worker does: the only callers of an Engine."""
