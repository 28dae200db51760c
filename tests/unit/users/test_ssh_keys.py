"""Public keys as people paste them."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from portal import db, users
from portal.context import Portal
from portal.core.errors import Conflict, Invalid
from portal.core.people import User
from portal.core.settings import Settings
from portal.deployments import container_spec
from portal.deployments.container_spec import environment, proxy_environment
from portal.users import ssh_keys
from support.fakes import FakeClock
from support.samples import JANE, SEEN, identity
from support.samples import SSH_KEY as KEY

OTHER = KEY.replace("AAAAIJ2a", "AAAAIJ2b")


def test_a_line_of_a_pub_file_is_taken_without_its_comment() -> None:
    key = ssh_keys.parse("", f"{KEY} jane@laptop\n", SEEN)
    assert (key.name, key.key) == ("jane@laptop", KEY)
    # As ssh-keygen -lf prints it.
    assert key.fingerprint == "SHA256:WFsLOvhE5N9meKzvCRNIJ46928DensdUDHASdHJdEHE"
    assert len(ssh_keys.parse("", f"{KEY} {'x' * 100}", SEEN).name) == 60


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad_key"),
        ("hello", "bad_key"),
        (KEY[:-8], "bad_key"),
        (f'command="/bin/sh" {KEY}', "bad_key"),
        (f"{KEY}\n{KEY}", "bad_key"),
        (KEY.replace("ssh-ed25519", "ssh-rsa"), "bad_key"),
        ("ssh-dss AAAAB3NzaC1kc3MAAACBAP", "bad_key"),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\n-----END OPENSSH PRIVATE KEY-----",
            "private_key",
        ),
    ],
    ids=[
        "nothing",
        "a word",
        "cut off",
        "with options",
        "two",
        "another kind",
        "too old",
        "private",
    ],
)
def test_what_is_no_public_key_is_refused(text: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        ssh_keys.parse("x", text, SEEN)
    assert refused.value.code == code


def test_keys_come_and_go_and_are_audited(portal: Portal, jane: User) -> None:
    jane = users.add_key(portal, jane, "Laptop", KEY)
    with pytest.raises(Conflict, match="already added this key"):
        users.add_key(portal, jane, "again", KEY + " other-comment")
    assert [key.name for key in users.user_of(portal, JANE).ssh_keys] == ["Laptop"]
    jane = users.remove_key(portal, jane, jane.ssh_keys[0].fingerprint)
    assert users.user_of(portal, JANE).ssh_keys == ()
    with portal.database.reading() as tx:
        actions = [event.action for event in db.audit.events(tx, f"user:{jane.subject}")]
    assert actions[-2:] == ["user.key_added", "user.key_removed"]


def test_a_page_that_was_open_for_long_brings_no_key_back(portal: Portal, jane: User) -> None:
    open_page = users.add_key(portal, jane, "Laptop", KEY)
    users.remove_key(portal, open_page, open_page.ssh_keys[0].fingerprint)
    assert [key.name for key in users.add_key(portal, open_page, "Other", OTHER).ssh_keys] == [
        "Other"
    ]


OLD = replace(identity(), ssh_key=KEY, fingerprint="1" * 64)
NEW = replace(identity(), ssh_key=OTHER, fingerprint="2" * 64)


def test_two_cards_in_turn_are_two_events_and_both_keys_count(portal: Portal) -> None:
    for _ in range(20):
        for card in (OLD, NEW):
            jane = users.user_of(portal, card)
    with portal.database.reading() as tx:
        actions = [event.action for event in db.audit.events(tx, f"user:{jane.subject}")]
    assert actions == ["user.created", "user.card_added", "user.card_added"]
    assert {card.ssh_key for card in users.cards(portal, jane)} == {KEY, OTHER}


def test_a_cards_key_counts_until_the_card_ends_or_is_revoked(
    portal: Portal, clock: FakeClock
) -> None:
    ends = clock() + timedelta(days=30)
    for card in (replace(OLD, not_after=ends), NEW):
        jane = users.user_of(portal, card)
    lines = container_spec.ssh_keys(jane, users.cards(portal, jane)).splitlines()
    assert f'expiry-time="{ends:%Y%m%d%H%M%S}" {KEY}' in lines
    revoked = replace(portal, card_counts=lambda card: card.ssh_key != OTHER)
    assert [card.ssh_key for card in users.cards(revoked, jane)] == [KEY]
    clock.forward(31 * 86400)
    assert KEY not in [card.ssh_key for card in users.cards(portal, jane)]


def test_a_card_whose_key_ssh_does_not_know_opens_pages_only(portal: Portal) -> None:
    jane = users.user_of(portal, identity())
    assert users.cards(portal, jane) == []
    assert container_spec.ssh_keys(users.add_key(portal, jane, "Laptop", KEY), []) == KEY


def test_a_container_without_gpus_is_not_given_them_all_by_its_base() -> None:
    assert environment("t", gpus=False)["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert "NVIDIA_VISIBLE_DEVICES" not in environment("t", gpus=True)
    assert "PORTAL_SSH_KEYS" not in environment("t", gpus=True)


def test_where_there_is_only_a_proxy_programs_are_told(settings: Settings) -> None:
    assert proxy_environment(settings) == {}
    variables = proxy_environment(
        settings.model_copy(update={"egress": "proxy", "egress_proxy": "10.0.0.8:3128"})
    )
    assert variables["https_proxy"] == variables["HTTPS_PROXY"] == "http://10.0.0.8:3128"
    assert "127.0.0.1" in variables["no_proxy"]


def of_security_key(kind: str, *fields: bytes) -> str:
    """As ssh-keygen -t ecdsa-sk writes it (OpenSSH, PROTOCOL.u2f)."""
    parts = (kind.encode(), *fields)
    raw = b"".join(len(part).to_bytes(4) + part for part in parts)
    return f"{kind} {base64.b64encode(raw).decode()}"


POINT = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
)
SK_ED25519, SK_ECDSA = "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"


@pytest.mark.parametrize(
    "text",
    [
        of_security_key(SK_ED25519, b"k" * 32, b"ssh:"),
        of_security_key(SK_ECDSA, b"nistp256", POINT, b"ssh:"),
    ],
)
def test_a_key_of_a_security_key_is_taken_whole_only(text: str) -> None:
    assert ssh_keys.parse("", text, SEEN).key == text
    kind, body = text.split()
    raw = base64.b64decode(body)
    for short in (raw[:-1], raw[: len(raw) // 2], raw[:-8], raw + b"\0"):
        with pytest.raises(Invalid):
            ssh_keys.parse("", f"{kind} {base64.b64encode(short).decode()}", SEEN)


@pytest.mark.parametrize(
    "text",
    [
        of_security_key(SK_ED25519, b"k" * 31, b"ssh:"),
        of_security_key(SK_ED25519, b"k" * 32, b""),
        of_security_key(SK_ECDSA, b"nistp384", POINT, b"ssh:"),
        of_security_key(SK_ECDSA, b"nistp256", b"\4" + b"\1" * 64, b"ssh:"),
    ],
)
def test_what_only_looks_like_one_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        ssh_keys.parse("", text, SEEN)
