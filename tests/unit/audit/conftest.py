"""A trail of twelve days with signed checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from certificates.signing import SigningKey
from portal import audit, db
from portal.context import Portal
from portal.core.signatures import Signed
from support.fakes import FakeClock


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey(tmp_path / "key.pem")


@pytest.fixture
def trail(portal: Portal, clock: FakeClock, key: SigningKey) -> Portal:
    """Twelve events, a day apart, with a checkpoint after each fourth; it signs exports."""
    for number in range(12):
        with portal.database.transaction() as tx:
            db.audit.append(tx, portal.now(), "worker", "vm.added", f"vm:vm-{number}", n=number)
        if number % 4 == 3:
            audit.checkpoint(portal, key)
        clock.forward(86_400)

    def sign(body: str, last: int, hash_: str) -> Signed:
        return audit.sign_export(portal, key, body, last, hash_)

    return replace(portal, sign_export=sign)
