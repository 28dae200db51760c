#!/usr/bin/env python3
"""Verify an audit trail that was taken away: Python's standard library, openssl, and no portal.

    python3 verify-audit.py [--key audit.pub] audit.jsonl      an export, or
    python3 verify-audit.py [--key audit.pub] collected.log    what a syslog collector wrote

--key: the portal's public key, from when it was set up (admin.py audit key): signatures of the
export and of checkpoints must be its. Once more for each key that it had since. Of a collector's
copy compare the first and last number with what was expected: what was cut off there is not missed.
Exit code 0: whole. 1: something was changed, left out or put in, and where. 2: it cannot be read.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]
FORMAT, CHECKPOINT = "container-portal-audit-2", "container-portal-checkpoint-1"
HASHED = ("previous_hash", "seq", "at", "actor", "action", "subject", "details")
END = {"events", "hash", "body", "signature", "key"}
VERIFY = "openssl dgst -sha256 -verify key -signature signature text"


class Broken(Exception):
    """What is wrong, and where."""


def need(fits: object, problem: str) -> None:
    """Raise Broken unless it fits."""
    if not fits:
        raise Broken(problem)


def digest(event: Event) -> str:
    """The hash of an event: it covers the one before, so that each vouches for all before it."""
    parts = [str(event[name]) if name == "seq" else event[name] for name in HASHED]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def line_of(values: Event) -> str:
    """As an export writes it, byte for byte: nothing is said twice, and nothing is hidden."""
    return json.dumps(values, separators=(",", ":")) + "\n"


class Lines:
    """The lines of a file, with the number of the last; of a collector's, what follows headers."""

    def __init__(self, path: str) -> None:
        self.path, self.number = Path(path), 0

    def __iter__(self) -> Iterator[Event]:
        with self.path.open("rb") as file:
            exported = file.read(1) == b"{"
            file.seek(0)
            for self.number, whole in enumerate(file, 1):
                line = whole if exported else whole[max(whole.find(b'{"seq":'), 0) :]
                values = json.loads(line)
                same = isinstance(values, dict) and line_of(values).encode() == line
                need(same, f"line {self.number} is not as it was written: it was changed")
                yield values


def check(number: int, event: Event, seq: int, previous: str, keys: list[str]) -> None:
    """Raise Broken unless this is the event of that number, and follows that hash."""
    where = f"line {number}, event {event.get('seq')}"
    fields = set(event) == {*HASHED, "hash"} and type(event["seq"]) is int
    need(fields, f"{where}: it has more or other fields than an event")
    need(event["seq"] == seq, f"{where}: event {seq} is missing, or this one is in the wrong place")
    need(event["previous_hash"] == previous, f"{where}: it does not follow the event before it")
    need(event["hash"] == digest(event), f"{where}: it was changed")
    if event["action"] == "audit.checkpoint":
        said = json.loads(event["details"])
        fits = (said["seq"], said["hash"]) == (seq - 1, previous)
        need(fits, f"{where}: this checkpoint vouches for another event")
        text = f"{CHECKPOINT} {said['origin']} {said['seq']} {said['hash']}\n"
        check_signature(f"{where}, a checkpoint", text, said, keys)


def check_signature(where: str, text: str, signed: Event, keys: list[str]) -> None:
    """Raise Broken unless openssl finds that its key signed the text (ECDSA, SHA-256).

    The key is one of those that are trusted, where any are given.
    """
    key, signature = signed["key"].strip(), signed["signature"]
    need(not keys or key in keys, f"{where}: its signature is not by this key")
    raw = base64.b64decode(signature)
    need(base64.b64encode(raw).decode() == signature, f"{where}: its signature was changed")
    with tempfile.TemporaryDirectory() as folder:
        files = {"key": key.encode(), "text": text.encode(), "signature": raw}
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        done = subprocess.run(VERIFY.split(), cwd=folder, capture_output=True, check=False)
    good = done.returncode == 0
    need(good, f"{where}: its signature is not by this key, or it was changed")


def check_releases(number: int, releases: list[Event]) -> None:
    """Raise Broken unless each signature of a release (cosign's payload) is of its own content."""
    for release in releases:
        if signed := release["signed"]:
            where = f"line {number}, the signature of {release['image']} {release['version']}"
            said = json.loads(signed["payload"])["critical"]["image"]["docker-manifest-digest"]
            own = release["reference"].partition("@")[2]
            need(said == own, f"{where}: it is of other content")
            check_signature(where, signed["payload"], signed, [])


def exported(head: Event, rest: Iterator[Event], lines: Lines, keys: list[str]) -> str:
    """What an export holds. Raises Broken."""
    begins = head.get("format") == FORMAT
    need(begins, f"line 1 does not begin an export ({FORMAT})")
    first, final, portal = int(head["first"]), int(head["last"]), str(head["portal"])
    seq, previous, end = first, str(head["previous_hash"]), Event()
    body = hashlib.sha256(line_of(head).encode())
    for line in rest:
        need(not end, f"line {lines.number} follows the last one")
        if "events" in line:
            end = line
            continue
        body.update(line_of(line).encode())
        if line.get("document") == "releases":
            check_releases(lines.number, line["content"])
        if "document" not in line:
            check(lines.number, line, seq, previous, keys)
            seq, previous = seq + 1, line["hash"]
    need(end, f"the end is missing, after event {seq - 1}")
    count = seq - first
    all_there = (end["events"], end["hash"], count) == (count, previous, max(0, final - first + 1))
    need(all_there, f"events {first} to {final} were exported, here are {count}")
    same = set(end) == END and end["body"] == body.hexdigest()
    need(same, "the first line, the last, or a document is not as it was exported: changed")
    said = f"{count} events, {first} to {final}, last hash {previous}"
    if not end["signature"]:
        unsigned = not keys and not end["key"]
        need(unsigned, "the export is not signed: the portal's worker was away")
        return f"{said}, not signed"
    text = f"{FORMAT} {portal} {final if count else 0} {previous} {end['body']}\n"
    check_signature("the export", text, end, keys)
    signer = hashlib.sha256(end["key"].encode()).hexdigest()[:16]
    return said if keys else f"{said}, signed by key {signer} (compare it: --key)"


def collected(first: Event, rest: Iterator[Event], lines: Lines, keys: list[str]) -> str:
    """What a collector has, event after event; one that came twice is the same, and counts once.

    Where the portal's database was restored, it goes on from there with other events.
    """
    begins = seq = int(first["seq"])
    known: dict[int, Event] = {}
    previous, twice, restored, signed = first["previous_hash"], 0, 0, 0
    for event in itertools.chain([first], rest):
        if known and event == known.get(event.get("seq", 0)):
            twice += 1
            continue
        if event.get("seq", seq) in known and event.get("action") == "database.restored":
            seq, restored = event["seq"], restored + 1
            previous = known[seq]["previous_hash"]
        check(lines.number, event, seq, previous, keys)
        signed = seq if event["action"] == "audit.checkpoint" else signed
        known[seq], seq, previous = event, seq + 1, event["hash"]
    need(signed or not keys, "no checkpoint vouches for any of it: nothing is signed")
    more = f", {twice} of them twice" if twice else ""
    more += f", restored {restored} times" if restored else ""
    more += f", signed up to {signed}" if signed else ""
    return f"{seq - begins} events, {begins} to {seq - 1}{more}, last hash {previous}"


def verify(path: str, *keys: str) -> str:
    """What the file holds. Raises Broken."""
    lines, trusted = Lines(path), [key.strip() for key in keys]
    try:
        rest = iter(lines)
        first = next(rest, Event())
        return (collected if "seq" in first else exported)(first, rest, lines, trusted)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Broken(f"line {lines.number} was changed or cut: {error}") from error


def main(arguments: list[str]) -> int:
    """Print the verdict."""
    keys: list[str] = []
    try:
        while arguments[:1] == ["--key"]:
            keys, arguments = [*keys, Path(arguments[1]).read_text()], arguments[2:]
        if len(arguments) != 1:
            print(__doc__, file=sys.stderr)
            return 2
        print(f"whole: {verify(arguments[0], *keys)}")
    except Broken as problem:
        print(f"BROKEN: {problem}", file=sys.stderr)
        return 1
    except (OSError, IndexError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
