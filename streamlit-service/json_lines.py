"""What libraries print is a line of JSON in a service's log, too: banners, warnings, tracebacks."""

from __future__ import annotations

import io
import json
import threading
from datetime import UTC, datetime
from typing import TextIO


class JsonLines(io.TextIOBase):
    """A text stream over another. What is JSON passes; the rest is wrapped, once for each write."""

    def __init__(self, stream: TextIO, level: str) -> None:
        self._stream, self._level = stream, level
        self._of_thread = threading.local()

    def write(self, text: str) -> int:
        """Whole lines go out; the rest waits for its end, which the same thread writes."""
        before: str = getattr(self._of_thread, "rest", "")
        lines, newline, self._of_thread.rest = (before + text).rpartition("\n")
        if newline and lines.strip():
            ours = all(map(_is_object, lines.split("\n")))
            self._stream.write(f"{lines if ours else self._wrapped(lines)}\n")
        return len(text)

    def flush(self) -> None:
        """As the stream below."""
        self._stream.flush()

    def fileno(self) -> int:
        """Of the stream below."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Nobody looks: no colours."""
        return False

    def _wrapped(self, lines: str) -> str:
        now = datetime.now(UTC).isoformat()
        return json.dumps(
            {"event": "output", "message": lines.strip(), "level": self._level, "timestamp": now}
        )


def _is_object(line: str) -> bool:
    if not line.startswith("{"):  # as nearly every line that is not ours
        return False
    try:
        return isinstance(json.loads(line, parse_constant=_no_number), dict)
    except (ValueError, RecursionError):
        return False


def _no_number(word: str) -> None:
    """NaN and Infinity are no JSON (RFC 8259, section 6)."""
    raise ValueError(word)
