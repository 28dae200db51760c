#!/usr/bin/env python3
"""Verify an exported audit trail: nothing but Python's standard library, and no portal.

    python3 verify-audit.py audit.jsonl

Exit code 0: whole. 1: something was changed, left out or put in, and where. 2: no such file.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FORMAT = "container-portal-audit-1"
TEXTS = ("actor", "action", "subject", "details")


class Broken(Exception):
    """What is wrong, and where."""


def digest(event: dict[str, Any]) -> str:
    """The hash of an event: it covers the one before, so that each vouches for all before it."""
    parts = [event["previous_hash"], str(event["seq"]), event["at"], *(event[t] for t in TEXTS)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def line_of(values: dict[str, Any]) -> str:
    """As an export writes it, byte for byte: nothing is said twice, and nothing is hidden."""
    return json.dumps(values, separators=(",", ":")) + "\n"


def read(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines of a file with their numbers."""
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                values = json.loads(line)
                same = line_of(values).encode() == line
            except ValueError as error:
                raise Broken(f"line {number} is no JSON: it was changed or cut") from error
            if not isinstance(values, dict) or not same:
                raise Broken(f"line {number} is not as an export writes it: it was changed")
            yield number, values


def check(number: int, event: dict[str, Any], seq: int, previous: str) -> None:
    """Raise Broken unless this is the event of that number, and follows that hash."""
    try:
        expected = digest(event)
        where = f"line {number}, event {event['seq']}"
        if event["seq"] != seq:
            raise Broken(f"{where}: event {seq} is missing, or this one is in the wrong place")
        if event["previous_hash"] != previous:
            raise Broken(f"{where}: it does not follow the event before it")
        if event["hash"] != expected:
            raise Broken(f"{where}: it was changed")
    except KeyError as error:
        raise Broken(f"line {number} lacks {error}: it is no event") from error


def verify(path: str) -> str:
    """What the file holds. Raises Broken."""
    lines = read(path)
    _, head = next(lines, (0, {}))
    if head.get("format") != FORMAT:
        raise Broken(f"line 1 does not begin an export ({FORMAT})")
    try:
        first, final, previous = int(head["first"]), int(head["last"]), head["previous_hash"]
    except (KeyError, ValueError, TypeError) as error:
        raise Broken("line 1 does not say which events follow: it was changed") from error
    seq, end = first, None
    for number, event in lines:
        if end is not None:
            raise Broken(f"line {number} comes after the last line")
        if "events" in event:
            end = event
            continue
        check(number, event, seq, previous)
        seq, previous = seq + 1, event["hash"]
    if end is None:
        raise Broken(f"the end is missing, after event {seq - 1}")
    count = seq - first
    if end.get("head") != hashlib.sha256(line_of(head).encode()).hexdigest():
        raise Broken("line 1 is not the one that was exported: it was changed")
    if (end["events"], end.get("hash")) != (count, previous) or count != max(0, final - first + 1):
        raise Broken(f"events {first} to {final} were exported, here are {count}")
    return f"{count} events, {first} to {final}, last hash {previous}"


def main(arguments: list[str]) -> int:
    """Print the verdict."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print(f"whole: {verify(arguments[0])}")
    except Broken as problem:
        print(f"BROKEN: {problem}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
