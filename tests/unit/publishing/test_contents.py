"""What is found inside an image: secrets, programs with rights, what system it is."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from portal.images.report import Kind
from publishing import contents


def _layer(**files: tuple[str, int]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, (text, mode) in files.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size, info.mode = len(text), mode
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def test_what_a_later_layer_deleted_is_a_secret_still_but_no_longer_setuid(tmp_path: Path) -> None:
    key = f"-----BEGIN PRIVATE KEY-----\n{'A' * 128}\n-----END PRIVATE KEY-----\n"
    first = _layer(app__key=(key, 0o600), bin__su=("x", 0o4755), bin__mount=("x", 0o4755))
    system = 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'
    second = _layer(
        **{
            "app__.wh.key": ("", 0o600),
            "bin__.wh.su": ("", 0o600),
            "etc__os-release": (system, 0o644),
        }
    )
    path = tmp_path / "image.tar"
    with tarfile.open(path, "w") as tar:
        for name, body in (
            ("a.tar", first),
            ("b.tar", second),
            ("manifest.json", json.dumps([{"Layers": ["a.tar", "b.tar"]}]).encode()),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    inside = contents.read(path)
    assert [(finding.kind, finding.subject) for finding in inside.findings] == [
        (Kind.SECRET, "/app/key"),
        (Kind.SETUID, "/bin/mount"),
    ]
    assert (inside.os_id, inside.os_codename) == ("debian", "bookworm")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("key = AKIAIOSFODNN7EXAMPLE", "aws-access-key"),
        ("key = xASIAIOSFODNN7EXAMPLE", None),
        ("token: ghp_" + "a" * 36, "github-token"),
        ("token: ohghp_" + "a" * 36, None),
        ("gho_" + "a" * 36, "github-token"),
        ("SLACK=xoxb-" + "1" * 20, "slack-token"),
        ("index-url = https://me:geheim-123@pypi.example.org/simple", "password-in-address"),
        ("url = https://${USER}:${PASSWORD}@host.example.org", None),
        ("-----BEGIN PRIVATE KEY-----", None),
    ],
)
def test_what_looks_like_a_secret(text: str, rule: str | None) -> None:
    assert contents._rules_of("etc/x", text.encode()) == ([rule] if rule else [])


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("etc/app/settings", True),
        ("home/jovyan/usr.txt", True),
        ("home/jovyan/usr/share/doc/x", True),
        ("opt/venv/lib/python3.11/site-packages/pip/README", False),
        ("usr/share/perl/5.36.0/HTTP/Tiny.pm", False),
        ("usr/lib/python3.11/urllib/request.py", False),
        ("usr/share/doc/curl/README", False),
    ],
)
def test_an_example_in_the_documentation_of_a_package_is_no_secret(
    path: str, refused: bool
) -> None:
    text = b"see http://john:password@example.com/"
    assert bool(contents._rules_of(path, text)) is refused


def test_a_key_is_a_secret_in_a_package_too() -> None:
    text = b"key = " + b"AKIA" + b"ABCDEFGHIJKLMNOP"
    assert contents._rules_of("usr/share/doc/aws/README", text) == ["aws-access-key"]
