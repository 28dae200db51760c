"""Whether this process was told to end: answers without an end of their own end then."""

from __future__ import annotations

import threading

STOPPING = threading.Event()
"""Set by serve.py at the first signal."""
