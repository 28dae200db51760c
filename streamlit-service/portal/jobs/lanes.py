"""Threads for work on VMs: of each kind of work each VM has its own, so that nobody waits for it.

A full lane starts nothing: what is due stays in the database, and is due again at the next pass.
"""

from __future__ import annotations

import enum
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import structlog

from portal.core.errors import LockLost

log = structlog.get_logger()


class Lane(enum.StrEnum):
    """A kind of work. No kind shares a limit with another, nor a VM with another VM."""

    START = "start"
    STOP = "stop"
    """Stops and removals."""
    DOWNLOAD = "download"
    PROBE = "probe"
    """Looks at the VM itself; each kind of look runs once at a time."""


LIMITS = {Lane.START: 16, Lane.STOP: 16, Lane.DOWNLOAD: 6, Lane.PROBE: 8}
"""Threads at once on one VM: what a VM that hangs can hold."""


class Lanes:
    """Runs tasks, each in a thread of its own while it lasts. `on_done` is called after each."""

    def __init__(self, on_done: Callable[[Lane], None]) -> None:
        self._on_done = on_done
        self._guard = threading.Lock()
        self._keys: set[str] = set()
        self._running: Counter[tuple[int, Lane]] = Counter()

    def start(
        self, lane: Lane, vm_id: int, key: str, task: Callable[[], None]
    ) -> Future[None] | None:
        """Run it, unless what has this key still runs or the VM's lane is full: then None.

        The future ends with the task, whatever came of it: an exception is logged.
        """
        with self._guard:
            if key in self._keys or self._running[vm_id, lane] >= LIMITS[lane]:
                return None
            self._keys.add(key)
            self._running[vm_id, lane] += 1
        done: Future[None] = Future()
        # A daemon: a call that hangs must not keep the process from ending.
        thread = threading.Thread(
            target=self._run, args=(lane, vm_id, key, task, done), name=key, daemon=True
        )
        thread.start()
        return done

    def _run(
        self, lane: Lane, vm_id: int, key: str, task: Callable[[], None], done: Future[None]
    ) -> None:
        # The bookkeeping outlives any task; what went wrong is logged with its trace.
        try:
            task()
        except LockLost as lost:
            log.info("job_dropped", job=key, cause=str(lost))
        except Exception:
            log.exception("job_failed", job=key)
        finally:
            with self._guard:
                self._keys.discard(key)
                self._running[vm_id, lane] -= 1
                if not self._running[vm_id, lane]:
                    del self._running[vm_id, lane]
            self._on_done(lane)
            done.set_result(None)


class Turns:
    """One at a time for each key: a deployment's container is started or stopped, never both."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._wanted: Counter[str] = Counter()

    @contextmanager
    def of(self, key: str) -> Iterator[None]:
        """Wait until it is one's turn, and hold it."""
        with self._guard:
            self._wanted[key] += 1
            lock = self._locks[key]
        try:
            with lock:
                yield
        finally:
            with self._guard:
                self._wanted[key] -= 1
                if not self._wanted[key]:
                    del self._wanted[key], self._locks[key]
