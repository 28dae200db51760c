"""A channel of SSH and a connection to a container's sshd, each fed by the other, counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncssh

Transport = asyncio.Transport
Channel = asyncssh.SSHTCPChannel[bytes]


class Lane(asyncssh.SSHTCPSession[bytes]):
    """The channel's side. `ended` is called once, with the bytes to and from the container."""

    def __init__(self, ended: Callable[[int, int], None]) -> None:
        self.ended = ended
        self.sent, self.received = 0, 0
        self.channel: Channel | None = None
        self.inside = Inside(self)

    def connection_made(self, chan: Channel) -> None:
        """The channel is open: what the container said meanwhile follows."""
        self.channel = chan
        self.inside.flush()

    def data_received(self, data: bytes, _datatype: object = None) -> None:
        """From the person."""
        self.sent += len(data)
        self.inside.write(data)

    def eof_received(self) -> bool:
        """The person sends no more, and may still read."""
        self.inside.write_eof()
        return True

    def pause_writing(self) -> None:
        """The person reads slowly."""
        self.inside.pause(reading=False)

    def resume_writing(self) -> None:
        """They read again."""
        self.inside.pause(reading=True)

    def connection_lost(self, _exc: Exception | None) -> None:
        """The channel, or the whole connection, is closed."""
        self.channel = None
        self.inside.close()


class Inside(asyncio.Protocol):
    """The container's side."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._transport: Transport | None = None
        self._early = b""
        """What came before the channel was open: sshd speaks first."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        assert isinstance(transport, Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """From the container."""
        self._lane.received += len(data)
        if self._lane.channel is None:
            self._early += data
        else:
            self._lane.channel.write(data)

    def eof_received(self) -> bool:
        """The container sends no more, and may still read."""
        if self._lane.channel is not None:
            self._lane.channel.write_eof()
        return True

    def flush(self) -> None:
        """Send on what came early."""
        early, self._early = self._early, b""
        if early and self._lane.channel is not None:
            self._lane.channel.write(early)

    def pause_writing(self) -> None:
        """The container reads slowly."""
        if self._lane.channel is not None:
            self._lane.channel.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        if self._lane.channel is not None:
            self._lane.channel.resume_reading()

    def connection_lost(self, _exc: Exception | None) -> None:
        """The container closed it, or close() did."""
        self._transport = None
        if self._lane.channel is not None:
            self._lane.channel.close()
        self._lane.ended(self._lane.sent, self._lane.received)

    def write(self, data: bytes) -> None:
        """Send to the container."""
        if self._transport is not None:
            self._transport.write(data)

    def write_eof(self) -> None:
        """Say that no more comes."""
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def pause(self, *, reading: bool) -> None:
        """Read from the container, or not for now."""
        if self._transport is None:
            return
        if reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.close()
