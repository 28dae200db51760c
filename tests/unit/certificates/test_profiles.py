"""What a certificate calls its holder by: profiles in order, strings of every kind."""

from __future__ import annotations

import pki
import pytest
from auth import identity_of
from certificates import names
from cryptography import x509
from portal.core.errors import NotAuthenticated
from portal.core.settings import Settings
from pydantic import ValidationError

CARD = "urn:uuid:5a9c0f3e-1111-4222-8333-444455556666"


def holder(common_name: str, *alternatives: x509.GeneralName) -> x509.Certificate:
    """A certificate with these alternative names: its issuer is not asked here."""
    authority = pki.Authority("Test")
    return authority.person(common_name, None, alternatives=alternatives).certificate


def upn(text: str, tag: int = 0x0C, encoding: str = "utf-8") -> x509.OtherName:
    raw = text.encode(encoding)
    length = bytes([len(raw)]) if len(raw) < 128 else bytes([0x81, len(raw)])
    return x509.OtherName(names.UPN, bytes([tag]) + length + raw)


@pytest.mark.parametrize(
    ("tag", "encoding"),
    [
        (0x0C, "utf-8"),
        (0x13, "ascii"),
        (0x16, "ascii"),
        (0x14, "ascii"),
        (0x19, "ascii"),
        (0x1A, "ascii"),
        (0x1B, "ascii"),
        (0x1C, "utf-32-be"),
        (0x1E, "utf-16-be"),
    ],
)
@pytest.mark.parametrize("user", ["jane", "j" * 40])
def test_a_upn_is_read_in_every_kind_of_string(tag: int, encoding: str, user: str) -> None:
    text = f"{user}@corp.example"
    if len(text.encode(encoding)) < 256:
        assert identity_of(holder("Jane Doe", upn(text, tag, encoding))).subject == f"upn:{text}"


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x0c",
        b"\x0c\x05jane",
        b"\x0c\x03jane",
        b"\x04\x0djane@corp.exa",
        b"\x0c\x02\xff\xfe",
        b"\x1e\x03\x00j\x00",
        b"\x0c\x84\xff\xff\xff\xffj@c",
    ],
)
def test_a_damaged_string_is_none(der: bytes) -> None:
    assert names.text_of(der) is None


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("1234567890@mil", "edipi:1234567890"),
        ("1234567890121002@mil", "edipi:1234567890"),
        ("123456789012@mil", "upn:123456789012@mil"),
        ("0000000000@mil", "upn:0000000000@mil"),
        ("1234567890@corp.example", "upn:1234567890@corp.example"),
    ],
)
def test_a_upn_that_is_a_number_is_the_same_person_as_the_cac(text: str, subject: str) -> None:
    assert identity_of(holder("Jane Doe", upn(text))).subject == subject
    of_cac = identity_of(holder("DOE.JANE.1234567890", upn(text)))
    assert of_cac.subject == "edipi:1234567890"


mail, uri = x509.RFC822Name, x509.UniformResourceIdentifier


@pytest.mark.parametrize(
    ("profiles", "subject"),
    [
        ("cac,upn,piv", "edipi:1234567890"),
        ("upn,cac", "upn:jane@corp.example"),
        ("piv", "uuid:5a9c0f3e-1111-4222-8333-444455556666"),
        ("mail , cac", "mail:jane.doe@corp.example"),
    ],
)
def test_the_first_profile_that_fits_counts(profiles: str, subject: str) -> None:
    settings = Settings(identity=profiles)
    card = holder(
        "DOE.JANE.1234567890",
        upn("jane@corp.example"),
        x509.UniformResourceIdentifier(CARD),
        x509.RFC822Name("Jane.Doe@corp.example"),
    )
    assert identity_of(card, settings.profiles).subject == subject


def test_a_certificate_that_fits_none_is_told_what_it_lacks() -> None:
    with pytest.raises(NotAuthenticated) as refused:
        identity_of(holder("Jane Doe"), ("upn", "piv"))
    assert "a user principal name (UPN) or the UUID or FASC-N" in refused.value.message
    with pytest.raises(NotAuthenticated, match="accepted here is an e-mail address"):
        identity_of(holder("Jane Doe"), ("mail",))


OTHER_CARD = CARD.replace("5a9c", "6b0d")


@pytest.mark.parametrize(
    ("profiles", "common_name", "two"),
    [
        ("mail", "Jane Doe", (mail("jane@corp.example"), mail("john@corp.example"))),
        ("upn", "Jane Doe", (upn("jane@corp.example"), upn("john@corp.example"))),
        ("cac", "DOE.JANE.1234567890", (upn("1234567890@mil"), upn("2345678901@mil"))),
        ("cac", "DOE.JANE.1234567890", (upn("2345678901@mil"), upn("1234567890@mil"))),
        ("cac,upn,piv", "Jane Doe", (upn("a@corp.example"), upn("b@corp.example"), uri(CARD))),
        ("piv", "Jane Doe", (uri(CARD), uri(OTHER_CARD))),
        ("upn", "Jane Doe", (upn("jane@corp.example"), upn("no address"))),
    ],
)
def test_two_names_of_a_kind_name_two_people(
    profiles: str, common_name: str, two: tuple[x509.GeneralName, ...]
) -> None:
    with pytest.raises(NotAuthenticated, match="several people"):
        identity_of(holder(common_name, *two), Settings(identity=profiles).profiles)


@pytest.mark.parametrize(
    ("profiles", "names", "subject"),
    [
        ("cac", (upn("1234567890@mil"), upn("1234567890121002@mil")), "edipi:1234567890"),
        ("upn", (upn("a@corp.example"), mail("x@corp.example"), mail("y@c.example")), "upn:a@corp"),
    ],
)
def test_one_number_twice_is_one_person_and_other_kinds_do_not_count(
    profiles: str, names: tuple[x509.GeneralName, ...], subject: str
) -> None:
    known = identity_of(holder("Jane Doe", *names), Settings(identity=profiles).profiles)
    assert known.subject.startswith(subject)


@pytest.mark.parametrize("text", ["edipi", "cac;upn", "cac,,upn", "cac,"])
def test_a_profile_that_is_none_is_refused_at_start(text: str) -> None:
    with pytest.raises(ValidationError):
        Settings(identity=text)
