"""A WebSocket as it is: TLS, the upgrade, then whatever comes (RFC 6455)."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SWITCHED = b"HTTP/1.1 101"


@contextmanager
def websocket(
    context: ssl.SSLContext, host: str, port: int, path: str, *, address: str = ""
) -> Iterator[ssl.SSLSocket]:
    """One that is open, with the host at an address. AssertionError where it is refused."""
    with (
        socket.create_connection((address or host, port), timeout=10) as plain,
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


PING, PONG = 0x9, 0xA
FINAL, MASKED, LONG = 0x80, 0x80, 126


def until_closed(socket_: ssl.SSLSocket) -> None:
    """Read to its end, and answer pings: a server ends what is silent. TimeoutError, as set."""
    with suppress(ConnectionError, ssl.SSLError, EOFError):
        while True:
            opcode, length = (byte & 0x7F for byte in _exactly(socket_, 2))
            if length >= LONG:
                length = int.from_bytes(_exactly(socket_, 2 if length == LONG else 8))
            payload = _exactly(socket_, length)
            if opcode & 0x0F == PING:
                # A mask of zeros is one, too (RFC 6455, 5.3).
                socket_.sendall(bytes([FINAL | PONG, MASKED | len(payload), 0, 0, 0, 0]) + payload)


def _exactly(socket_: ssl.SSLSocket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        more = socket_.recv(size - len(read))
        if not more:
            raise EOFError
        read += more
    return read
