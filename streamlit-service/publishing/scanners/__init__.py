"""Scanners of built images; each raises EngineError when it has no current data."""
