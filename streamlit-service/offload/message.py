"""An event as a syslog message: RFC 5424, what it says as JSON."""

from __future__ import annotations

import json
import re
from datetime import UTC

from portal.audit import Link

PRIORITY = 13 * 8 + 6
"""Facility 13 (log audit), severity informational (RFC 5424, 6.2.1)."""
MAX_NAME, MAX_ID = 255, 32
"""Characters of HOSTNAME and MSGID."""
UTF8 = "\ufeff"
"""RFC 5424, 6.4: the message that follows is UTF-8."""
_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]")


def of(link: Link, host: str) -> bytes:
    """One line: number and hashes are in it, so that a copy can be verified by itself."""
    at = link.at.astimezone(UTC)
    stamp = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06}Z"
    header = f"<{PRIORITY}>1 {stamp} {_word(host, MAX_NAME)} container-portal -"
    values = {**vars(link), "at": at.isoformat(timespec="microseconds")}
    text = json.dumps(values, separators=(",", ":"))  # ASCII: no line end, no control character
    return f"{header} {_word(link.action, MAX_ID)} - {UTF8}{text}".encode()


def _word(text: str, most: int) -> str:
    return _NOT_PRINTABLE.sub("_", text)[:most] or "-"
