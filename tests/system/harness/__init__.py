"""The real system for tests: VMs, machines, people with browsers, and what they run on."""

from pathlib import Path

HARNESS = Path(__file__).parent
