"""Why something of somebody's is ended, in words that they read."""

from __future__ import annotations

from portal.core.errors import Invalid


def check_reason(reason: str, example: str) -> str:
    """The reason on one line. Raises Invalid without one, or with a whole story."""
    text = " ".join(reason.split())
    if not 5 <= len(text) <= 500:
        raise Invalid(
            "no_reason",
            "Enter a reason of 5 to 500 characters: the owners of containers see it.",
            f"For example: {example}",
        )
    return text
