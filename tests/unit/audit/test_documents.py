"""What an export has besides events; and one of two months."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from certificates.signing import SigningKey
from portal import audit, db
from portal.context import Portal
from portal.core.isolation import Cell, Isolation
from portal.core.signatures import Vouched
from portal.vms import isolation
from support.evidence import exported, verdict
from support.fakes import FakeClock


def test_the_documents_say_what_was_so_besides(trail: Portal) -> None:
    with trail.database.reading() as tx:
        vm = db.vms.all_vms(tx)[0]
    cells = [Cell("a container of A", "the VM's SSH", "closed")]
    isolation.record(trail, vm, Isolation(trail.now(), 2.5, cells))
    with trail.database.transaction() as tx:
        db.audit.append(tx, trail.now(), "cli:root", "database.backed_up", "database", rows=7)
    lines = [json.loads(line) for line in exported(trail).splitlines()]
    documents = {line["document"]: line["content"] for line in lines if "document" in line}
    [release] = documents["releases"]
    assert (release["image"], release["state_now"]) == ("ml-cpu", "approved")
    assert [each["action"] for each in release["decided"]][-1] == "release.approved"
    [measured] = documents["isolation"]
    assert measured["cells"] == {"a container of A": {"the VM's SSH": "closed"}}
    assert documents["restores"][0]["rows"] == 7
    assert "cut-off" in documents


@pytest.fixture
def payload(trail: Portal, key: SigningKey) -> dict[str, Any]:
    """What was signed of the release; kept with its signature."""
    with trail.database.transaction() as tx:
        release = db.releases.approved(tx)["ml-cpu"]
        said = {"critical": {"image": {"docker-manifest-digest": release.digest}}}
        text = json.dumps(said)
        signed = key(text)
        vouched = Vouched(text, signed.signature, signed.key)
        db.releases.put_signature(tx, release.id, vouched)
    return said


@pytest.mark.usefixtures("payload")
def test_releases_have_their_signatures_which_verify_too(
    trail: Portal, key: SigningKey, tmp_path: Path
) -> None:
    assert "BROKEN" not in verdict(exported(trail), tmp_path / "audit", key)


def test_a_signature_of_other_content_is_found(
    trail: Portal, key: SigningKey, payload: dict[str, Any], tmp_path: Path
) -> None:
    with trail.database.transaction() as tx:
        release = db.releases.approved(tx)["ml-cpu"]
        kept = db.releases.signature_of(tx, release.id)
        assert kept is not None
        forged = Vouched(kept.payload + " ", kept.signature, kept.key)
        db.releases.put_signature(tx, release.id, forged)
    said = verdict(exported(trail), tmp_path / "audit", key)
    assert "the signature of ml-cpu 1.0.0: its signature is not by this key" in said
    payload["critical"]["image"]["docker-manifest-digest"] = "sha256:" + "0" * 64
    text = json.dumps(payload)
    signed = key(text)
    with trail.database.transaction() as tx:
        db.releases.put_signature(tx, release.id, Vouched(text, signed.signature, signed.key))
    assert "it is of other content" in verdict(exported(trail), tmp_path / "audit", key)


def test_two_months_are_one_export_and_each_month_is_one(
    trail: Portal, key: SigningKey, clock: FakeClock, tmp_path: Path
) -> None:
    began = trail.now()
    for day in range(61):
        with trail.database.transaction() as tx:
            for number in range(40):
                db.audit.append(tx, trail.now(), "worker", "vm.added", f"vm:{day}-{number}")
        audit.checkpoint(trail, key)
        clock.forward(86_400)
    month = timedelta(days=30)
    whole = exported(trail, since=began, until=trail.now())
    assert verdict(whole, tmp_path / "audit", key).startswith(f"{61 * 41} events")
    first = exported(trail, since=began, until=began + month)
    second = exported(trail, since=began + month, until=began + 2 * month)
    for text in (first, second):
        assert verdict(text, tmp_path / "audit", key).startswith(f"{30 * 41} events")
    ends = [json.loads(text.splitlines()[-1])["hash"] for text in (first,)]
    assert ends == [json.loads(second.splitlines()[0])["previous_hash"]], "they fit together"
