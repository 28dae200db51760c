"""Verified signatures are cached and outlast the registry's absence; failures never are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from portal import db
from portal.context import Portal
from portal.core.errors import Conflict, EngineError, PortalError
from portal.core.models import Release
from portal.core.settings import Settings
from portal.core.signatures import Vouched
from registry import cosign, signature
from registry.verifier import Verifier
from support.refusals import code_of


class FakeRegistry:
    """A registry and a cosign of our own making, and a clock that moves when told to."""

    def __init__(self, release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = self.questions = self.read = 0
        self.now = 0.0
        self.digest: str | None = release.digest
        self.failure: PortalError | None = None
        monkeypatch.setattr(cosign, "verify", self._verify)
        monkeypatch.setattr(signature, "find", self._find)

    def digest_of(self, reference: str, tag: str) -> str | None:
        self.questions += 1
        if self.failure:
            raise self.failure
        return self.digest

    def _verify(self, *_: object) -> None:
        self.asked += 1

    def _find(self, registry: object, key: Path, release: Release) -> Vouched:
        if self.failure:
            raise self.failure
        self.read += 1
        return Vouched(f"{release.version}", "c2ln", key.read_text())


@pytest.fixture
def release(portal: Portal) -> Release:
    with portal.database.reading() as tx:
        return db.releases.approved(tx)["ml-cpu"]


@pytest.fixture
def fake(release: Release, monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    return FakeRegistry(release, monkeypatch)


@pytest.fixture
def verify(fake: FakeRegistry, portal: Portal) -> Verifier:
    return Verifier(portal.settings, portal.database, fake, lambda: fake.now)  # type: ignore[arg-type]


def good_since(portal: Portal, release: Release, hours: float) -> None:
    with portal.database.transaction() as tx:
        db.releases.update(tx, release.id, verified_at=datetime.now(UTC) - timedelta(hours=hours))


def test_a_good_signature_is_asked_for_once_per_interval(
    fake: FakeRegistry, verify: Verifier, release: Release
) -> None:
    for _ in range(5):
        verify(release)
    assert fake.asked == 1
    fake.now = 601
    verify(release)
    assert fake.asked == 2


def test_a_tag_that_moved_or_went_is_told_apart(
    fake: FakeRegistry, verify: Verifier, release: Release
) -> None:
    fake.digest = "sha256:other"
    assert code_of(lambda: verify(release)) == "tag_moved"
    fake.digest = None
    assert code_of(lambda: verify(release)) == "image_gone"
    fake.digest = release.digest
    verify(release)


def test_while_the_registry_is_away_a_good_answer_holds_for_a_day_whatever_restarted(
    portal: Portal, fake: FakeRegistry, verify: Verifier, release: Release
) -> None:
    fake.failure = EngineError("registry_unreachable", "It does not answer.", "")
    assert code_of(lambda: verify(release)) == "registry_unreachable"
    good_since(portal, release, 23)
    verify(release)
    good_since(portal, release, 25)
    assert code_of(lambda: verify(release)) == "registry_unreachable"


def test_a_registry_that_is_away_is_not_asked_by_everybody(
    fake: FakeRegistry, verify: Verifier, release: Release
) -> None:
    fake.failure = EngineError("registry_unreachable", "It does not answer.", "")
    for _ in range(5):
        assert code_of(lambda: verify(release)) == "registry_unreachable"
    assert fake.questions == 1
    fake.now, fake.failure = 16, None
    verify(release)


def test_bad_news_ends_what_was_remembered(
    fake: FakeRegistry, verify: Verifier, release: Release
) -> None:
    verify(release)
    fake.now, fake.digest = 700, "sha256:other"
    assert code_of(lambda: verify(release)) == "tag_moved"
    fake.failure = EngineError("registry_unreachable", "It does not answer.", "")
    assert code_of(lambda: verify(release)) == "registry_unreachable"


def test_the_signature_itself_is_kept_once_for_each_key(
    portal: Portal, fake: FakeRegistry, release: Release, tmp_path: Path
) -> None:
    key = tmp_path / "cosign.pub"
    key.write_text("first")
    settings = portal.settings.model_copy(update={"signature_key_file": key})
    verify = Verifier(settings, portal.database, fake, lambda: fake.now)  # type: ignore[arg-type]

    def kept() -> Vouched | None:
        with portal.database.reading() as tx:
            return db.releases.signature_of(tx, release.id)

    for fake.now in (0, 601, 1202):
        verify(release)
    assert (kept(), fake.read) == (Vouched(release.version, "c2ln", "first"), 1)
    key.write_text("second")
    fake.now = 1803
    verify(release)
    assert (kept(), fake.read) == (Vouched(release.version, "c2ln", "second"), 2)


def test_without_a_key_nothing_is_good(settings: Settings) -> None:
    with pytest.raises(Conflict, match="no key to check images with"):
        cosign.verify(settings, "r/ml-cpu@sha256:0", "ml-cpu", "1")


def test_credentials_are_for_their_own_registry_only(settings: Settings, tmp_path: object) -> None:
    changed = settings.model_copy(
        update={"registry_host": "registry:5000", "registry_endpoint": "inside:5000"}
    )
    assert changed.registry.for_services("registry:5000/ml-cpu@x") == "inside:5000/ml-cpu@x"
    assert changed.registry.for_services("registry:50001/ml-cpu@x") == "registry:50001/ml-cpu@x"
    prefixed = changed.model_copy(update={"registry_prefix": "your-org"})
    assert prefixed.registry.repository("ml-cpu") == "registry:5000/your-org/ml-cpu"
