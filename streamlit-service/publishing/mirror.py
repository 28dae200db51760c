"""Copy images between registries by digest, with signatures and attestations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from portal.core.catalog import PINNED, Image
from portal.core.errors import Invalid
from portal.core.models import Release, ReleaseState
from portal.core.settings import Settings
from registry import cosign

COPIED = {ReleaseState.APPROVED, ReleaseState.DEPRECATED, ReleaseState.CANDIDATE}


def bases(catalog: Iterable[Image]) -> Iterator[str]:
    """The pinned base of every build, each once."""
    yield from dict.fromkeys(build.base for image in catalog for build in image.builds)


def copy_bases(
    settings: Settings, catalog: Iterable[Image], target: str, say: Callable[[str], None]
) -> int:
    """Copy every base to target/NAME:TAG.

    Raises EngineError at the first that fails; the others are there.
    """
    count = 0
    for base in bases(catalog):
        parts = PINNED.fullmatch(base)
        assert parts is not None  # the catalogue checks it
        aim = f"{target}/{parts['name'].rpartition('/')[2]}:{parts['tag']}"
        say(f"{base} -> {aim}")
        cosign.copy(settings, f"{full_name(parts['name'])}@{base.partition('@')[2]}", aim)
        count += 1
    return count


def copy_releases(
    settings: Settings,
    releases: Iterable[Release],
    target: str,
    say: Callable[[str], None],
    source: str = "",
) -> list[str]:
    """Copy releases to target/IMAGE:VERSION; returns their references there.

    `source` replaces this registry.
    """
    copied = []
    for release in releases:
        if release.state not in COPIED:
            continue
        name = (
            f"{source}/{release.image}"
            if source
            else settings.registry.for_services(release.reference).partition("@")[0]
        )
        say(f"{release.image} {release.version} -> {target}")
        cosign.copy(
            settings, f"{name}@{release.digest}", f"{target}/{release.image}:{release.version}"
        )
        copied.append(f"{target}/{release.image}@{release.digest}")
    return copied


def check_target(target: str) -> str:
    """host[:port][/prefix]. Raises Invalid."""
    text = target.rstrip("/")
    if not text or "://" in text or "@" in text or " " in text:
        raise Invalid(
            "bad_registry",
            f"{target!r} is not host[:port][/prefix].",
            "For example: registry.local:5000/ml",
        )
    return text


def full_name(name: str) -> str:
    """The full name, as Docker completes it: a first part with a dot or port is the registry."""
    host, slash, _ = name.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"
