"""Requests as they are sent, byte for byte: what no client library would send."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

from stack import Stack


def exchange(stack: Stack, who: str | None, port: int, sent: bytes, name: str = "") -> bytes:
    """All that comes back, with somebody's certificate or none. `name`: what TLS asks for (SNI)."""
    context = stack.tls(who)
    if name:
        context.check_hostname = False
    with (
        socket.create_connection((stack.host, port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name or stack.host) as secure,
    ):
        secure.sendall(sent)
        return until_end(secure)


def until_end(secure: ssl.SSLSocket) -> bytes:
    """What comes until the other side closes, or is silent for ten seconds."""
    read = b""
    with suppress(TimeoutError, ConnectionError, ssl.SSLError):
        while more := secure.recv(65_536):
            read += more
    return read


def status(answer: bytes) -> int:
    """Of the first answer in it; 0 where the connection was closed without one."""
    words = answer.split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


def get(path: str, host: str, *headers: str, method: str = "GET") -> bytes:
    """A request that closes the connection after its answer."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode()
