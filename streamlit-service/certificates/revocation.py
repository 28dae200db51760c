"""The revocation lists of a folder, kept in memory, and what they say of a card.

The folder is read again every REREAD_S; a list counts from then on. Somebody else fills it:
admin.py crl fetch, or whatever your organisation distributes lists with.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import structlog
from cryptography.x509 import Certificate
from cryptography.x509.oid import NameOID
from portal.core.errors import NotAuthenticated

from certificates.chain import CertificationPath, is_root
from certificates.crl import FUTURE, RevocationList, key_of, read, split

REREAD_S = 1.0
FUTURE_AGAIN_S = 60.0
"""A list from the future is looked at again so often: it may count by then."""
EPOCH, END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
SUFFIXES = (".crl", ".pem")
OFF, SOFT, STRICT = "off", "soft", "strict"
log = structlog.get_logger()


@dataclass(frozen=True)
class Held:
    """What the folder holds: lists that count, and files that do not, each with the reason."""

    lists: tuple[RevocationList, ...] = ()
    unusable: tuple[tuple[str, str], ...] = ()

    def covering(self, certificate: Certificate, authority: Certificate) -> list[RevocationList]:
        """The lists that speak for a certificate of an authority, the newest first."""
        covering = [crl for crl in self.lists if crl.covers(certificate, authority)]
        return sorted(covering, key=lambda crl: crl.this_update, reverse=True)


@dataclass(eq=False)
class Card:
    """A certificate that was verified, on each of its certification paths (chain.py)."""

    paths: tuple[CertificationPath, ...]
    known_good: tuple[Held, datetime] | None = None
    """With these lists, until then, it was found good: not asked again at every request."""


class RevocationLists:
    """Thread-safe.

    `mode`: SOFT lets people in where no current list speaks for them, STRICT does not.
    """

    def __init__(self, folder: Path, bundle: Sequence[Certificate], mode: str) -> None:
        self._folder, self._bundle, self._strict = folder, tuple(bundle), mode == STRICT
        self._guard = threading.Lock()
        self._files: dict[str, _File] = {}
        self._held, self._read_again_at, self._followed = Held(), 0.0, False

    def follow(self) -> None:
        """Look at the folder from a thread of its own from now on: no request waits for a list."""
        self._refresh()
        self._followed = True
        threading.Thread(target=self._follow, name="revocation", daemon=True).start()

    def check(self, card: Card, *, patient: bool = False) -> None:  # noqa: ARG002
        """Raise NotAuthenticated when the card is revoked, or that is unknown. Waits for nobody.

        Good is a card with one path on which neither it nor an authority is revoked.
        """
        held, now = self.held(), datetime.now(UTC)
        if card.known_good and card.known_good[0] is held and now < card.known_good[1]:
            return
        good = [path for path in card.paths if not _revoked(path, held)]
        if not good:
            raise revoked()
        until = max(
            (crl.next_update for path in good for crl in held.covering(path[0], path[1])),
            default=EPOCH,
        )
        if not self._strict:
            until = END
        elif until <= now:
            certificate = good[0][0]
            raise NotAuthenticated(
                "revocation_unknown",
                "The portal cannot tell if your certificate was revoked: its authority's list is"
                " missing or too old.",
                "This is not your card's fault. Ask your portal administrator to renew the"
                " revocation lists.",
                cause=certificate.issuer.rfc4514_string(),
            )
        card.known_good = (held, until)

    def held(self) -> Held:
        """The lists as of now, or as of REREAD_S ago."""
        if not self._followed and time.monotonic() >= self._read_again_at:
            self._refresh()
        return self._held

    def _follow(self) -> None:
        never = threading.Event()
        while not never.wait(REREAD_S):
            # Whatever is wrong with a folder or a list, the next look comes.
            try:
                self._refresh()
            except Exception:
                log.exception("revocation_lists_not_read")

    def _refresh(self) -> None:
        """Read the files that changed, and let all count at once."""
        with self._guard:
            self._read_again_at = time.monotonic() + REREAD_S
            try:
                now = _entries(self._folder)
            except OSError as error:  # what was revoked stays revoked
                log.warning("revocation_folder_unreadable", cause=str(error))
                return
            again = time.monotonic() - FUTURE_AGAIN_S
            files = {
                name: known
                if (known := self._files.get(name)) is not None
                and known.state == state
                and not (FUTURE in known.problem and known.read_at < again)
                else _File(state, *_read(self._folder / name, self._bundle))
                for name, state in now.items()
            }
            if files != self._files:
                self._held = _together(files)
            self._files = files


def revoked() -> NotAuthenticated:
    """The answer for a card that was revoked."""
    return NotAuthenticated(
        "revoked",
        "Your certificate was revoked by its authority.",
        "Use your newest card, or ask the office that issues cards.",
    )


def _revoked(path: CertificationPath, held: Held) -> bool:
    """A root revokes nothing of itself: taking it out of the bundle does."""
    return any(
        crl.revokes(member)
        for member, authority in pairwise(path)
        for crl in held.covering(member, authority)
    )


def by_authority(bundle: Sequence[Certificate], held: Held) -> dict[str, RevocationList | None]:
    """Each authority below a root → the list for people that counts longest.

    By common name; where several share it, by the whole name and the beginning of the key's hash.
    """
    below = [ca for ca in bundle if not is_root(ca)]
    # A root alone issues people's certificates itself. Certified twice, a key is one authority.
    issuers = {(ca.subject, key_of(ca)): ca for ca in below or bundle}
    names = Counter(_name(ca) for ca in issuers.values())
    longest = {}
    for (subject, key), ca in issuers.items():
        lists = [
            crl
            for crl in held.lists
            if crl.people
            and ((crl.issuer, crl.signer) == (subject, key) or subject in (crl.of_others or ()))
        ]
        who = _name(ca)
        if names[who] > 1:
            who = f"{subject.rfc4514_string()} (key {hashlib.sha256(key).hexdigest()[:8]})"
        longest[who] = max(lists, key=lambda crl: crl.next_update, default=None)
    return longest


def _name(authority: Certificate) -> str:
    names = authority.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else authority.subject.rfc4514_string()


def load(folder: Path, bundle: Sequence[Certificate]) -> Held:
    """Every list of a folder. What is no list of these authorities is reported, never used."""
    try:
        states = _entries(folder)
    except OSError:
        states = {}
    return _together(
        {name: _File(state, *_read(folder / name, bundle)) for name, state in states.items()}
    )


@dataclass(frozen=True)
class _File:
    """What a file held when it looked like `state`: lists, and why others are none."""

    state: tuple[int, int, int]
    lists: tuple[RevocationList, ...]
    problem: str
    read_at: float = field(default_factory=time.monotonic, compare=False)


def _together(files: Mapping[str, _File]) -> Held:
    lists = [crl for file in files.values() for crl in file.lists]
    whole, deltas = _newest(lists), [crl for crl in lists if crl.base is not None]
    unusable = [(name, file.problem) for name, file in files.items() if file.problem]
    unusable += [
        (delta.file, "it lists changes only, of a list that is not here (a delta list)")
        for delta in deltas
        if not any(_knows(crl, delta) for crl in whole)
    ]
    return Held(tuple(_changed(crl, deltas) for crl in whole), tuple(unusable))


def _knows(whole: RevocationList, delta: RevocationList) -> bool:
    """Whether a delta list is one of a whole list, or is in it already."""
    if delta.changes(whole):
        return True
    both = whole.number is not None and delta.number is not None and whole.scope == delta.scope
    return both and (delta.number or 0) <= (whole.number or 0)


def _changed(whole: RevocationList, deltas: Iterable[RevocationList]) -> RevocationList:
    """The whole list with the newest of its changes, each of which holds all before it."""
    own = [delta for delta in deltas if delta.changes(whole)]
    newest = max(own, key=lambda delta: delta.number or 0, default=None)
    return whole.with_changes(newest) if newest else whole


def _read(path: Path, bundle: Sequence[Certificate]) -> tuple[tuple[RevocationList, ...], str]:
    lists: list[RevocationList] = []
    problems: list[str] = []
    try:
        contents = split(path.read_bytes())
    except OSError as error:
        contents, problems = [], [str(error)]
    for content in contents:
        try:
            lists.append(read(path.name, content, bundle))
        except ValueError as error:
            problems.append(str(error))
    problem = "; ".join(dict.fromkeys(problems))
    if problem:
        log.warning("revocation_list_unusable", file=path.name, cause=problem)
    return tuple(lists), problem


def _newest(lists: Iterable[RevocationList]) -> list[RevocationList]:
    """The newest whole list of each authority's key and scope: no older one counts beside it."""
    newest: dict[object, RevocationList] = {}
    for crl in sorted(lists, key=lambda crl: crl.this_update):
        if crl.base is None:
            newest[crl.scope] = crl
    return list(newest.values())


def _entries(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Name → what changes when a list changes or becomes readable; links are followed.

    Raises OSError where there is no folder, or none that can be read.
    """
    with os.scandir(folder) as entries:
        found = {e.name: _state(e) for e in entries if Path(e.name).suffix.lower() in SUFFIXES}
    return dict(sorted(found.items()))


def _state(entry: os.DirEntry[str]) -> tuple[int, int, int]:
    try:
        status = entry.stat()
    except OSError:  # a link that leads nowhere: that one list is missing, not all
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size)
