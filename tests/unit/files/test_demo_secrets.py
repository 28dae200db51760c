"""What a demonstration makes for itself is whole, even after a run that was interrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from demo_secrets import PEOPLE, DemoSecrets


class Interrupted(Exception):
    """The plug was pulled."""


def interrupt(at: int) -> Callable[..., None]:
    """Writes nothing from the call number `at` on."""
    calls = 0
    write = pki.write_private

    def stop(path: Path, content: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls >= at:
            raise Interrupted
        write(path, content)

    return stop


@pytest.mark.parametrize("at", [1, 2, 3, 5, 9, 10])
def test_a_run_that_was_interrupted_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    home = tmp_path / "demo"
    with monkeypatch.context() as patched:
        patched.setattr(pki, "write_private", interrupt(at))
        with pytest.raises(Interrupted):
            DemoSecrets(home, ("localhost",)).make()
    assert DemoSecrets(home, ("localhost",)).make()
    assert not DemoSecrets(home, ("localhost",)).make()
    bundle = x509.load_pem_x509_certificates((home / "secrets" / "client_ca").read_bytes())
    issuers = {authority.subject: authority for authority in bundle}
    for name in PEOPLE:
        person = x509.load_pem_x509_certificate((home / "certs" / f"{name}.crt").read_bytes())
        person.verify_directly_issued_by(issuers[person.issuer])
    server = x509.load_pem_x509_certificate((home / "secrets" / "server_cert").read_bytes())
    key = load_pem_private_key((home / "secrets" / "server_key").read_bytes(), None)
    assert key.public_key() == server.public_key()
