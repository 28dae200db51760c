"""RELP, syslog with an answer for each message: https://www.rsyslog.com/doc/relp.html.

Plain syslog over TCP loses what is on its way when either side ends; here what was not answered is
sent again.
"""

from __future__ import annotations

import re
import socket
import ssl
from types import TracebackType
from typing import Self

OFFERS = b"relp_version=0\nrelp_software=container-portal\ncommands=syslog"
ANSWER = re.compile(rb"(\d{1,9}) rsp (\d{1,9})(?: |(?=\n))")
LAST_NUMBER = 999_999_999
MAX_HEADER = 32
MAX_ANSWER = 64 * 1024
OK = b"200"


class RelpError(OSError):
    """The collector refused, or answered what is not RELP."""


class Relp:
    """One connection, used by one thread. Every wait has the deadline `timeout_s`.

    OSError (ssl.SSLError and RelpError among them) for whatever goes wrong: then it is over.
    """

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext, name: str, timeout_s: float
    ) -> None:
        plain = socket.create_connection((host, port), timeout=timeout_s)
        try:
            self._socket = tls.wrap_socket(plain, server_hostname=name)
        except BaseException:
            plain.close()
            raise
        self._read, self._number = b"", 0
        try:
            self._ask(b"open", OFFERS)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._ask(b"close", b"")
        except OSError:
            pass  # it was over anyway
        finally:
            self._socket.close()

    def send(self, message: bytes) -> None:
        """Give one message; returns once the collector has taken it."""
        self._ask(b"syslog", message)

    def _ask(self, command: bytes, data: bytes) -> None:
        self._number = self._number % LAST_NUMBER + 1
        size = b"%d %s" % (len(data), data) if data else b"0"
        self._socket.sendall(b"%d %s %s\n" % (self._number, command, size))
        number, answer = self._answer()
        if number != self._number:
            raise RelpError(f"it answered {number} to {self._number}")
        if not answer.startswith(OK):
            said = answer[:200].decode(errors="replace")
            raise RelpError(f"it refused {command.decode()}: {said}")

    def _answer(self) -> tuple[int, bytes]:
        while (head := ANSWER.match(self._read)) is None:
            if len(self._read) > MAX_HEADER:
                raise RelpError("it does not speak RELP, or closes")  # 0 serverclose 0
            self._more()
        size, begins = int(head[2]), head.end()
        if size > MAX_ANSWER:
            raise RelpError(f"its answer is {size} bytes long")
        while len(self._read) < begins + size + 1:
            self._more()
        answer, end = self._read[begins : begins + size], self._read[begins + size]
        if end != ord("\n"):
            raise RelpError("its answer is longer than it says")
        self._read = self._read[begins + size + 1 :]
        return int(head[1]), answer

    def _more(self) -> None:
        got = self._socket.recv(4096)
        if not got:
            raise RelpError("it closed the connection")
        self._read += got
