"""One SSH connection to a VM, forwarding a local unix socket to its engine's socket.

asyncssh runs in one event loop thread for all VMs. A dropped connection is noticed by keepalive
(5 s × 2) and made anew at the next call.
"""

from __future__ import annotations

import asyncio
import functools
import tempfile
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncssh
from portal.core.settings import Settings

CONNECT_S = 5.0
KEEPALIVE_S = 5
T = TypeVar("T")
NO_GATE = 127  # the shell's "command not found" (POSIX)
ENGINE_SOCKET = "/var/run/docker.sock"
_loop_lock = threading.Lock()


class TunnelError(Exception):
    """SSH did not let us in, or not in time."""


class SshTunnel:
    """Thread-safe. url() is cheap while the connection lives."""

    def __init__(self, engine_url: str, settings: Settings) -> None:
        parts = urlsplit(engine_url)
        self._host, self._port, self._user = (
            parts.hostname or "",
            parts.port or 22,
            parts.username or "portal",
        )
        self._settings = settings
        self._directory = tempfile.TemporaryDirectory(prefix="portal-ssh-")
        self._count = 0
        self._lock = threading.Lock()
        self._connection: asyncssh.SSHClientConnection | None = None
        self._url = ""

    def url(self) -> str:
        """The docker base URL of a live forward; connects when there is none.

        Raises TunnelError.
        """
        with self._lock:
            if self._connection is None or self._connection.is_closed():
                try:
                    self._connection, self._url = _run(self._connect(), CONNECT_S * 2 + 1)
                except (OSError, asyncssh.Error, TimeoutError) as error:
                    raise TunnelError(f"{type(error).__name__}: {error}") from error
            return self._url

    def run(self, command: str, timeout_s: float) -> str:
        """Run a command over the same connection; what it printed.

        Raises TunnelError, also when it takes longer.
        """
        self.url()  # connects
        connection = self._connection
        assert connection is not None
        try:
            result = _run(connection.run(command, check=False, timeout=timeout_s), timeout_s + 1)
        except (OSError, asyncssh.Error, TimeoutError) as error:
            raise TunnelError(f"{type(error).__name__}: {error}") from error
        if result.exit_status not in (0, NO_GATE):
            raise TunnelError(f"{command}: exit {result.exit_status}: {str(result.stderr)[:200]}")
        return str(result.stdout) if result.exit_status == 0 else ""

    def close(self) -> None:
        """Close the connection and remove the socket."""
        with self._lock:
            if self._connection is not None:
                _loop().call_soon_threadsafe(self._connection.abort)
                self._connection = None
            self._directory.cleanup()

    async def _connect(self) -> tuple[asyncssh.SSHClientConnection, str]:
        settings = self._settings
        if settings.ssh_key_file is None or settings.ssh_known_hosts_file is None:
            raise OSError(
                "PORTAL_SSH_KEY_FILE and PORTAL_SSH_KNOWN_HOSTS_FILE are needed for ssh:// engines"
            )
        connection = await asyncssh.connect(
            self._host,
            self._port,
            username=self._user,
            client_keys=[str(settings.ssh_key_file)],
            known_hosts=str(settings.ssh_known_hosts_file),
            connect_timeout=CONNECT_S,
            login_timeout=CONNECT_S,
            keepalive_interval=KEEPALIVE_S,
            keepalive_count_max=2,
            agent_path=None,
            config=None,
        )
        self._count += 1  # a fresh name each time: an old client never speaks to a new connection
        path = Path(self._directory.name) / f"engine-{self._count}.sock"
        try:
            await connection.forward_local_path(str(path), ENGINE_SOCKET)
        except BaseException:
            connection.abort()
            raise
        return connection, f"unix://{path}"


@functools.cache
def _made_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="ssh", daemon=True).start()
    return loop


def _loop() -> asyncio.AbstractEventLoop:
    # functools.cache lets two threads make two: a connection would belong to the forgotten one.
    with _loop_lock:
        return _made_loop()


def _run(coroutine: Coroutine[Any, Any, T], timeout_s: float) -> T:
    future = asyncio.run_coroutine_threadsafe(coroutine, _loop())
    try:
        return future.result(timeout_s)
    except TimeoutError:
        future.cancel()
        raise
