"""PIV cards: known by the UUID or FASC-N of their alternative names."""

from __future__ import annotations

from datetime import timedelta

import pki
import pytest
from auth import identity_of
from certificates import names
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from portal.core.errors import NotAuthenticated


def alternative(*names: x509.GeneralName) -> x509.Certificate:
    """A certificate that names JANE DOE, and what its alternative names say."""
    issued = pki.Authority("Test")
    key = issued.issuing.key
    builder = pki._builder(
        pki._name("JANE DOE"), issued.issuing.certificate.subject, key, 9, timedelta(0)
    )
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256())


CARD = x509.UniformResourceIdentifier("urn:uuid:6B2F0A7C-51C1-4E3B-9B5E-0D6E1D2A9F10")


FASC_N = x509.OtherName(names.FASC_N, b"\x04\x19" + bytes(range(25)))


def fasc_n(agency: str, system: str, credential: str) -> x509.OtherName:
    """As FIPS 201 cards carry it: digits of four bits, the lowest first, and odd parity."""

    def five(value: int) -> str:
        bits = f"{value:04b}"[::-1]
        return bits + str((bits.count("1") + 1) % 2)

    start, between, end = "11010", "10110", "11111"
    parts = [start, *map(five, map(int, agency)), between, *map(five, map(int, system)), between]
    parts += [*map(five, map(int, credential)), between, five(1), between, five(1), between]
    parts += [five(0)] * 16 + [end, five(0)]
    bits = "".join(parts)
    return x509.OtherName(names.FASC_N, b"\x04\x19" + int(bits, 2).to_bytes(25))


@pytest.mark.parametrize(
    ("alternatives", "subject"),
    [
        ([FASC_N, CARD], "uuid:6b2f0a7c-51c1-4e3b-9b5e-0d6e1d2a9f10"),
        ([FASC_N], f"fascn:{bytes(range(25)).hex()}"),
        ([CARD, CARD], None),
        ([x509.UniformResourceIdentifier("urn:uuid:no-uuid")], None),
        ([x509.UniformResourceIdentifier(f"urn:uuid:{'0' * 32}")], None),
        ([x509.OtherName(names.FASC_N, b"\x04\x02ab")], None),
        ([x509.OtherName(names.FASC_N, b"\x04\x19" + bytes(25))], None),
        ([x509.OtherName(names.FASC_N, b"\x04\x19" + b"\xff" * 25)], None),
        ([fasc_n("9999", "9999", "999999")], None),
        ([fasc_n("9999", "0001", "000001")], None),
        ([fasc_n("0000", "0000", "000000")], None),
        (
            [fasc_n("0032", "0001", "092446")],
            "fascn:" + fasc_n("0032", "0001", "092446").value[2:].hex(),
        ),
        ([x509.UniformResourceIdentifier(f"urn:uuid:{'f' * 32}")], None),
    ],
)
def test_a_piv_card_is_known_by_its_uuid_or_fasc_n(
    alternatives: list[x509.GeneralName], subject: str | None
) -> None:
    certificate = alternative(*alternatives)
    if subject is None:
        with pytest.raises(NotAuthenticated, match="UUID or FASC-N"):
            identity_of(certificate)
    else:
        known = identity_of(certificate)
        assert (known.subject, known.display_name) == (subject, "JANE DOE")
