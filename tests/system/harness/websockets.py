"""A WebSocket as it is: TLS, the upgrade, then whatever comes (RFC 6455)."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

SWITCHED = b"HTTP/1.1 101"


@contextmanager
def websocket(context: ssl.SSLContext, host: str, port: int, path: str) -> Iterator[ssl.SSLSocket]:
    """One that is open. AssertionError where it is refused."""
    with (
        socket.create_connection((host, port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        secure.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: https://{host}:{port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        answer = secure.recv(4096)
        assert answer.startswith(SWITCHED), answer[:200]
        yield secure
