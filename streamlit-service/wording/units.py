"""Times, sizes and counts in words."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def ago(then: datetime, now: datetime) -> str:
    """Relative time: "just now", "12 min ago", "3 h ago", "2 days ago"."""
    seconds = max((now - then).total_seconds(), 0)
    if seconds < 10:
        return "just now"
    if seconds < 60:
        return f"{seconds:.0f} s ago"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    if seconds < 86_400:
        return f"{seconds // 3600:.0f} h ago"
    return f"{plural(int(seconds // 86_400), 'day')} ago"


def zone(name: str | None) -> ZoneInfo:
    """The time zone of this name; UTC where there is none, which times then show."""
    try:
        return ZoneInfo(name or "UTC")
    except (OSError, ValueError, ZoneInfoNotFoundError):  # a folder's name, a path, unknown
        return ZoneInfo("UTC")


def absolute(then: datetime, zone: ZoneInfo) -> str:
    """The moment itself, in the viewer's zone."""
    return then.astimezone(zone).strftime("%a %d %b %Y, %H:%M:%S %Z")


def plural(count: int, noun: str) -> str:
    """1 day, 2 days."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    teens = 10 <= number % 100 <= 20
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def amount(count: float, noun: str) -> str:
    """0.5 CPUs, 1 CPU, 2 CPUs."""
    return f"{count:g} {noun}" if count == 1 else f"{count:g} {noun}s"


def size(count: float) -> str:
    """Bytes in GB with one digit, or whole MB below one GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def hours(count: float) -> str:
    """Hours with two digits below 1, one below 100, with thousands apart."""
    return f"{count:,.{2 if 0 < count < 1 else 1 if count < 100 else 0}f}"


def left(seconds: float) -> str:
    """A rough estimate: "a few seconds left", "about 40 s left", "about 3 min left"."""
    if seconds < 10:
        return "a few seconds left"
    if seconds < 90:
        return f"about {round(seconds, -1):.0f} s left"
    return f"about {seconds / 60:.0f} min left"


def added(at: str, now: datetime) -> str:
    """When a key was added."""
    return ago(datetime.fromisoformat(at), now)
