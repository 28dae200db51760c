"""A real responder (openssl ocsp): good, revoked, unknown, silent, stale, and one that may not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import bootstrap
import builds
import docker
import pki
import pytest
from auth import Authenticator
from cryptography.x509.oid import ExtendedKeyUsageOID
from portal.core.errors import NotAuthenticated
from portal.core.settings import Settings

WORKSTATION = "container-portal-test-workstation:dev"
HARNESS = Path(__file__).resolve().parents[1] / "system" / "harness"
PORT = 2560
JANE, JOHN, RAY = "DOE.JANE.Q.1234567890", "ROE.JOHN.A.2345678901", "RAY.ALEX.M.3456789012"
BOOT_S = 30
Ask = Callable[[pki.Issued], str]


@pytest.fixture(scope="module")
def authority() -> pki.Authority:
    return pki.Authority("Test")


@contextmanager
def responder(
    authority: pki.Authority,
    folder: Path,
    signer: pki.Issued,
    clock: str = "+0",
    options: str = "",
) -> Iterator[str]:
    """Its address. Jane is good, John revoked, and Ray nobody that it has heard of.

    Its answers count for five minutes from what its clock says: faketime(1), "-1d".
    """
    builds.build(HARNESS / "workstation", WORKSTATION)
    signer.write(folder, "signer")
    (folder / "ca.crt").write_bytes(pki.pem(authority.issuing.certificate))
    for path in folder.iterdir():
        path.chmod(0o644)
    command = (
        f"faketime -f {clock} openssl ocsp -port {PORT} -index /ocsp/index -CA /ocsp/ca.crt -nmin 5"
    )
    box = docker.from_env().containers.run(
        WORKSTATION,
        f"{command} {options} -rsigner /ocsp/signer.crt -rkey /ocsp/signer.key".split(),
        detach=True,
        volumes={str(folder): {"bind": "/ocsp", "mode": "ro"}},
        ports={f"{PORT}/tcp": ("127.0.0.1", 0)},
    )
    try:
        deadline = time.monotonic() + BOOT_S
        while b"waiting for OCSP" not in box.logs():  # who only knocks keeps it busy for ever
            assert time.monotonic() < deadline, box.logs()
            time.sleep(0.1)  # polling a boot
        box.reload()
        host_port = box.attrs["NetworkSettings"]["Ports"][f"{PORT}/tcp"][0]["HostPort"]
        yield f"http://127.0.0.1:{host_port}/"
    finally:
        box.remove(force=True)


@pytest.fixture
def ask(authority: pki.Authority, tmp_path: Path) -> Callable[[str], Ask]:
    """Whether a card is let in by a responder's word alone: "" or why not."""
    bundle, secret = tmp_path / "bundle", tmp_path / "secret"
    bundle.write_bytes(authority.bundle)
    secret.write_text("only-nginx-knows")
    (tmp_path / "crls").mkdir()

    def at(address: str) -> Ask:
        made: Authenticator = bootstrap.authenticator(
            Settings(
                client_ca_file=bundle,
                proxy_secret_file=secret,
                crl_dir=tmp_path / "crls",
                revocation="strict",
                ocsp=address,
                ocsp_timeout_s=3,
            )
        )

        def answer(card: pki.Issued) -> str:
            headers = {
                "X-Proxy-Secret": "only-nginx-knows",
                "X-Client-Verify": "SUCCESS",
                "X-Client-Cert": pki.pem(card.certificate).decode().replace("\n", "%0A"),
            }
            try:
                made.authenticate(headers)
            except NotAuthenticated as error:
                return error.code
            return ""

        return answer

    return at


def entry(card: pki.Issued, *, revoked: bool) -> str:
    """A line of openssl's index (openssl-ca(1))."""
    ends = f"{card.certificate.not_valid_after_utc:%y%m%d%H%M%SZ}"
    since = f"{datetime.now(UTC):%y%m%d%H%M%SZ}" if revoked else ""
    number = f"{card.certificate.serial_number:X}"
    number = number.zfill(len(number) + len(number) % 2)
    return "\t".join(["R" if revoked else "V", ends, since, number, "unknown", "/CN=card"])


@pytest.fixture
def cards(authority: pki.Authority, tmp_path: Path) -> tuple[Path, dict[str, pki.Issued]]:
    """The responder's folder with its index, and the people's cards."""
    made = {name: authority.person(name, None) for name in (JANE, JOHN, RAY)}
    folder = tmp_path / "ocsp"
    folder.mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    lines = [entry(made[JANE], revoked=False), entry(made[JOHN], revoked=True)]
    (folder / "index").write_text("\n".join(lines) + "\n")
    return folder, made


def test_each_card_is_what_the_responder_says(
    authority: pki.Authority,
    ask: Callable[[str], Ask],
    cards: tuple[Path, dict[str, pki.Issued]],
) -> None:
    folder, made = cards
    delegate = authority.person("Responder", None, usages=[ExtendedKeyUsageOID.OCSP_SIGNING])
    with responder(authority, folder, delegate) as address:
        asked = ask(address)
        assert {name: asked(card) for name, card in made.items()} == {
            JANE: "",
            JOHN: "revoked",
            RAY: "revocation_unknown",
        }
    # Silent from now on: what was said counts on, and who was never asked about is not let in.
    assert asked(made[JANE]) == ""
    assert asked(authority.person("NEW.CARD.9999999999", None)) == "revocation_unknown"


def test_a_responder_that_may_not_answer_is_not_believed(
    authority: pki.Authority,
    ask: Callable[[str], Ask],
    cards: tuple[Path, dict[str, pki.Issued]],
) -> None:
    folder, made = cards
    stranger = pki.Authority("Other").person(
        "Responder", None, usages=[ExtendedKeyUsageOID.OCSP_SIGNING]
    )
    with responder(authority, folder, stranger) as address:
        asked = ask(address)
        assert {asked(card) for card in made.values()} == {"revocation_unknown"}


def test_an_answer_that_has_run_out_counts_for_nobody(
    authority: pki.Authority,
    ask: Callable[[str], Ask],
    cards: tuple[Path, dict[str, pki.Issued]],
) -> None:
    folder, made = cards
    delegate = authority.person("Responder", None, usages=[ExtendedKeyUsageOID.OCSP_SIGNING])
    with responder(authority, folder, delegate, clock="-1d") as address:
        asked = ask(address)
        assert {name: asked(card) for name, card in made.items()} == {
            JANE: "revocation_unknown",
            JOHN: "revocation_unknown",
            RAY: "revocation_unknown",
        }


def test_an_answer_may_be_signed_with_pss(
    authority: pki.Authority,
    ask: Callable[[str], Ask],
    cards: tuple[Path, dict[str, pki.Issued]],
) -> None:
    folder, made = cards
    delegate = authority.person("Responder", None, usages=[ExtendedKeyUsageOID.OCSP_SIGNING])
    pss = "-rmd sha384 -rsigopt rsa_padding_mode:pss"
    with responder(authority, folder, delegate, options=pss) as address:
        asked = ask(address)
        assert (asked(made[JANE]), asked(made[JOHN])) == ("", "revoked")
