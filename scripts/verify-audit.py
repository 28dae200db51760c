#!/usr/bin/env python3
"""Verify an audit trail that was taken away: Python's standard library, openssl, and no portal.

    python3 verify-audit.py [--key audit.pub] audit.jsonl      an export, or
    python3 verify-audit.py [--key audit.pub] collected.log    what a syslog collector wrote

--key: the portal's public key, from when it was set up (admin.py audit key): signatures of the
export and of checkpoints must be its. Exit code 0: whole. 1: something was changed, left out or put
in, and where. 2: it cannot be looked at.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FORMAT = "container-portal-audit-2"
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
    """The lines of a file with their numbers; of a collector's, what follows the header."""
    with Path(path).open("rb") as file:
        exported = file.read(1) == b"{"
        file.seek(0)
        for number, whole in enumerate(file, 1):
            line = whole if exported else whole[max(whole.find(b'{"seq":'), 0) :]
            try:
                values = json.loads(line)
                same = line_of(values).encode() == line
            except ValueError as error:
                raise Broken(f"line {number} is no JSON: it was changed or cut") from error
            if not isinstance(values, dict) or not same:
                raise Broken(f"line {number} is not as it was written: it was changed")
            yield number, values


def check(number: int, event: dict[str, Any], seq: int, previous: str) -> None:
    """Raise Broken unless this is the event of that number, and follows that hash."""
    try:
        where, expected = f"line {number}, event {event['seq']}", digest(event)
        if event["seq"] != seq:
            raise Broken(f"{where}: event {seq} is missing, or this one is in the wrong place")
        if event["previous_hash"] != previous:
            raise Broken(f"{where}: it does not follow the event before it")
        if event["hash"] != expected:
            raise Broken(f"{where}: it was changed")
    except KeyError as error:
        raise Broken(f"line {number} lacks {error}: it is no event") from error


def check_signature(where: str, text: str, signature: str, key: str) -> None:
    """Raise Broken unless openssl finds that the key signed the text (ECDSA, SHA-256)."""
    try:
        raw = base64.b64decode(signature)
    except ValueError:
        raw = b""
    if base64.b64encode(raw).decode() != signature:
        raise Broken(f"{where}: its signature was changed")
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("key", key.encode()), ("text", text.encode())):
            Path(folder, name).write_bytes(content)
        Path(folder, "signature").write_bytes(raw)
        command = [
            "openssl",
            "dgst",
            "-sha256",
            "-verify",
            "key",
            "-signature",
            "signature",
            "text",
        ]
        if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
            raise Broken(f"{where}: its signature is not by this key, or it was changed")


def check_checkpoint(number: int, event: dict[str, Any], key: str) -> None:
    """Raise Broken unless a checkpoint in the chain vouches for the event before it."""
    said, where = json.loads(event["details"]), f"line {number}, checkpoint {event['seq']}"
    if (said["seq"], said["hash"]) != (event["seq"] - 1, event["previous_hash"]):
        raise Broken(f"{where}: it vouches for another event")
    text = f"container-portal-checkpoint-1 {said['origin']} {said['seq']} {said['hash']}\n"
    check_signature(where, text, said["signature"], key or said["key"])


def verify(path: str, key: str = "") -> str:
    """What the file holds. Raises Broken."""
    lines = read(path)
    number, head = next(lines, (0, {}))
    if "seq" in head:
        return collected([(number, head), *lines], key)
    if head.get("format") != FORMAT:
        raise Broken(f"line 1 does not begin an export ({FORMAT})")
    try:
        seq, previous = int(head["first"]), str(head["previous_hash"])
        int(head["last"]), str(head["portal"])
    except (KeyError, ValueError, TypeError) as error:
        raise Broken("line 1 does not say which events follow: it was changed") from error
    body = hashlib.sha256(line_of(head).encode())
    for number, line in lines:
        if "events" in line:
            if any(True for _ in lines):
                raise Broken(f"more lines follow line {number}, the last one")
            return ended(head, line, seq, previous, body.hexdigest(), key)
        body.update(line_of(line).encode())
        if "document" not in line:
            check(number, line, seq, previous)
            if line["action"] == "audit.checkpoint":
                check_checkpoint(number, line, key)
            seq, previous = seq + 1, line["hash"]
    raise Broken(f"the end is missing, after event {seq - 1}")


def ended(
    head: dict[str, Any], end: dict[str, Any], seq: int, previous: str, body: str, key: str
) -> str:
    """What an export holds whose last line this is. Raises Broken."""
    first, final = int(head["first"]), int(head["last"])
    count = seq - first
    if (end["events"], end.get("hash")) != (count, previous) or count != max(0, final - first + 1):
        raise Broken(f"events {first} to {final} were exported, here are {count}")
    if set(end) != {"events", "hash", "body", "signature", "key"} or end["body"] != body:
        raise Broken("the first line, the last, or a document is not as it was exported: changed")
    if not end["signature"]:
        if key or end["key"]:
            raise Broken("the export is not signed: the portal's worker was away")
        return f"{count} events, {first} to {final}, last hash {previous}, not signed"
    if key and end["key"].strip() != key.strip():
        raise Broken("the export: its signature is not by this key")
    text = f"{FORMAT} {head['portal']} {final if count else 0} {previous} {body}\n"
    check_signature("the export", text, end["signature"], key or end["key"])
    signer = hashlib.sha256(end["key"].encode()).hexdigest()[:16]
    by = "" if key else f", signed by key {signer} (compare it: --key)"
    return f"{count} events, {first} to {final}, last hash {previous}{by}"


def collected(lines: list[tuple[int, dict[str, Any]]], key: str) -> str:
    """What a collector has, event after event; one that came twice is the same, and counts once.

    Where the portal's database was restored, it goes on from there with other events.
    """
    begins = seq = int(lines[0][1]["seq"])
    known: dict[int, str] = {begins - 1: lines[0][1].get("previous_hash", "")}
    twice, restored = 0, 0
    for number, event in lines:
        if known.get(event.get("seq", 0), 0) == event.get("hash"):
            twice += 1
            continue
        if event.get("seq", 0) < seq and event.get("action") == "database.restored":
            seq, restored = event["seq"], restored + 1
        check(number, event, seq, known.get(seq - 1, ""))
        if event["action"] == "audit.checkpoint":
            check_checkpoint(number, event, key)
        known[seq], seq = event["hash"], seq + 1
    more = f", {twice} of them twice" if twice else ""
    more += f", restored {restored} times" if restored else ""
    return f"{seq - begins} events, {begins} to {seq - 1}{more}, last hash {known[seq - 1]}"


def main(arguments: list[str]) -> int:
    """Print the verdict."""
    try:
        key = Path(arguments[1]).read_text() if arguments[:1] == ["--key"] else ""
        path = arguments[2 if key else 0 :]
        if len(path) != 1:
            print(__doc__, file=sys.stderr)
            return 2
        print(f"whole: {verify(path[0], key)}")
    except Broken as problem:
        print(f"BROKEN: {problem}", file=sys.stderr)
        return 1
    except (OSError, IndexError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
