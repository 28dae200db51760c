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
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FORMAT = "container-portal-audit-2"
TEXTS = ("actor", "action", "subject", "details")
FIELDS = {"seq", "at", *TEXTS, "previous_hash", "hash"}


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
        if set(event) != FIELDS or type(event["seq"]) is not int:
            raise Broken(f"{where}: it has more or other fields than an event")
        if event["seq"] != seq:
            raise Broken(f"{where}: event {seq} is missing, or this one is in the wrong place")
        if event["previous_hash"] != previous:
            raise Broken(f"{where}: it does not follow the event before it")
        if event["hash"] != expected:
            raise Broken(f"{where}: it was changed")
    except (KeyError, TypeError) as error:
        raise Broken(f"line {number} is no event: {error}") from error


def check_signature(where: str, text: str, signature: str, own: str, keys: list[str]) -> None:
    """Raise Broken unless openssl finds that its key signed the text (ECDSA, SHA-256).

    The key is one of those that are trusted, where any are given.
    """
    key = own.strip()
    if keys and key not in keys:
        raise Broken(f"{where}: its signature is not by this key")
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


def check_checkpoint(number: int, event: dict[str, Any], keys: list[str]) -> None:
    """Raise Broken unless a checkpoint in the chain vouches for the event before it."""
    where = f"line {number}, checkpoint {event['seq']}"
    try:
        said = json.loads(event["details"])
        if (said["seq"], said["hash"]) != (event["seq"] - 1, event["previous_hash"]):
            raise Broken(f"{where}: it vouches for another event")
        text = f"container-portal-checkpoint-1 {said['origin']} {said['seq']} {said['hash']}\n"
        check_signature(where, text, said["signature"], said["key"], keys)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Broken(f"{where}: it is no checkpoint ({error})") from error


def check_releases(number: int, releases: Any) -> None:
    """Raise Broken unless each signature of a release is of its own digest (cosign's payload)."""
    try:
        for release in releases:
            signed, name = release["signed"], f"{release['image']} {release['version']}"
            if signed:
                where = f"line {number}, the signature of {name}"
                said = json.loads(signed["payload"])["critical"]["image"]["docker-manifest-digest"]
                if said != release["reference"].partition("@")[2]:
                    raise Broken(f"{where}: it is of other content")
                check_signature(where, signed["payload"], signed["signature"], signed["key"], [])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Broken(f"line {number} does not list releases: {error}") from error


def verify(path: str, *keys: str) -> str:
    """What the file holds. Raises Broken."""
    lines, trusted = read(path), [key.strip() for key in keys]
    number, head = next(lines, (0, {}))
    if "seq" in head:
        return collected([(number, head), *lines], trusted)
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
            return ended(head, line, seq, previous, body.hexdigest(), trusted)
        body.update(line_of(line).encode())
        if line.get("document") == "releases":
            check_releases(number, line.get("content"))
        if "document" not in line:
            check(number, line, seq, previous)
            if line["action"] == "audit.checkpoint":
                check_checkpoint(number, line, trusted)
            seq, previous = seq + 1, line["hash"]
    raise Broken(f"the end is missing, after event {seq - 1}")


def ended(
    head: dict[str, Any], end: dict[str, Any], seq: int, previous: str, body: str, keys: list[str]
) -> str:
    """What an export holds whose last line this is. Raises Broken."""
    first, final = int(head["first"]), int(head["last"])
    count = seq - first
    if (end["events"], end.get("hash")) != (count, previous) or count != max(0, final - first + 1):
        raise Broken(f"events {first} to {final} were exported, here are {count}")
    if set(end) != {"events", "hash", "body", "signature", "key"} or end["body"] != body:
        raise Broken("the first line, the last, or a document is not as it was exported: changed")
    if not end["signature"]:
        if keys or end["key"]:
            raise Broken("the export is not signed: the portal's worker was away")
        return f"{count} events, {first} to {final}, last hash {previous}, not signed"
    text = f"{FORMAT} {head['portal']} {final if count else 0} {previous} {body}\n"
    check_signature("the export", text, end["signature"], end["key"], keys)
    signer = hashlib.sha256(end["key"].encode()).hexdigest()[:16]
    by = "" if keys else f", signed by key {signer} (compare it: --key)"
    return f"{count} events, {first} to {final}, last hash {previous}{by}"


def collected(lines: list[tuple[int, dict[str, Any]]], keys: list[str]) -> str:
    """What a collector has, event after event; one that came twice is the same, and counts once.

    Where the portal's database was restored, it goes on from there with other events.
    """
    first = lines[0][1]
    begins = seq = first["seq"] if type(first.get("seq")) is int else 0
    known: dict[int, dict[str, Any]] = {}
    previous, twice, restored, signed = first.get("previous_hash", ""), 0, 0, 0
    for number, event in lines:
        if known and event == known.get(event.get("seq", 0)):
            twice += 1
            continue
        if event.get("seq", seq) in known and event.get("action") == "database.restored":
            seq, restored = event["seq"], restored + 1
            previous = known[seq]["previous_hash"]
        check(number, event, seq, previous)
        if event["action"] == "audit.checkpoint":
            check_checkpoint(number, event, keys)
            signed = seq
        known[seq], seq, previous = event, seq + 1, event["hash"]
    if keys and not signed:
        raise Broken("no checkpoint vouches for any of it: nothing is signed")
    more = f", {twice} of them twice" if twice else ""
    more += f", restored {restored} times" if restored else ""
    more += f", signed up to {signed}" if signed else ""
    return f"{seq - begins} events, {begins} to {seq - 1}{more}, last hash {previous}"


def main(arguments: list[str]) -> int:
    """Print the verdict."""
    keys: list[str] = []
    rest = list(arguments)
    try:
        while rest[:1] == ["--key"]:
            keys, rest = [*keys, Path(rest[1]).read_text()], rest[2:]
        if len(rest) != 1:
            print(__doc__, file=sys.stderr)
            return 2
        print(f"whole: {verify(rest[0], *keys)}")
    except Broken as problem:
        print(f"BROKEN: {problem}", file=sys.stderr)
        return 1
    except (OSError, IndexError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
