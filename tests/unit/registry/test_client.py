"""What the portal asks registries: passwords go to their own registry, tokens are fetched."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
from portal.core.errors import EngineError
from portal.core.settings import Settings
from publishing import mirror
from registry.client import Registry

DIGEST = "sha256:" + "a" * 64
REFERENCE = f"ghcr.io/your-org/ml-cpu@{DIGEST}"


@pytest.fixture
def settled(settings: Settings, tmp_path: Path) -> Settings:
    password = tmp_path / "password"
    password.write_text("secret-word")
    return settings.model_copy(
        update={
            "registry_host": "ghcr.io",
            "registry_prefix": "your-org",
            "registry_username": "mei",
            "registry_password_file": password,
        }
    )


def asked(settings: Settings, answer: Callable[[httpx2.Request], httpx2.Response]) -> Registry:
    """A registry of our own making behind the real client."""
    registry = Registry(settings)
    registry._http = httpx2.Client(transport=httpx2.MockTransport(answer), follow_redirects=True)
    return registry


def test_a_registry_that_wants_a_token_gets_one_for_the_password(settled: Settings) -> None:
    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        given = request.headers.get("Authorization", "")
        seen.append(f"{request.url.host}{request.url.path} {given.split(' ')[0]}")
        if request.url.path == "/token":
            assert request.url.params["scope"] == "repository:your-org/ml-cpu:pull"
            return httpx2.Response(200, json={"token": "short-lived"})
        if given == "Bearer short-lived":
            return httpx2.Response(
                200,
                headers={"Docker-Content-Digest": DIGEST},
                json={"layers": [{"size": 5}, {"size": 7}]},
            )
        challenge = (
            "Bearer"
            ' realm="https://ghcr.io/token",service="ghcr.io",scope="repository:your-org/ml-cpu:pull"'
        )
        return httpx2.Response(401, headers={"WWW-Authenticate": challenge})

    registry = asked(settled, answer)
    assert registry.digest_of(REFERENCE, "1.0.0") == DIGEST
    assert registry.download_bytes(REFERENCE) == 12
    assert seen[:3] == [
        "ghcr.io/v2/your-org/ml-cpu/manifests/1.0.0 Basic",
        "ghcr.io/token Basic",
        "ghcr.io/v2/your-org/ml-cpu/manifests/1.0.0 Bearer",
    ]


def test_the_password_goes_to_no_other_registry(settled: Settings) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert "Authorization" not in request.headers
        return httpx2.Response(404, json={"errors": []})

    assert asked(settled, answer).digest_of(f"elsewhere.example/x@{DIGEST}", "1") is None


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (httpx2.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'}), "registry_refused"),
        (httpx2.Response(401), "registry_refused"),
        (httpx2.Response(403), "registry_refused"),
        (httpx2.Response(500), "registry_unreachable"),
        (httpx2.ConnectError("no route"), "registry_unreachable"),
        (httpx2.ReadTimeout("silent"), "registry_unreachable"),
    ],
)
def test_what_goes_wrong_is_told_apart(
    settled: Settings, answer: httpx2.Response | Exception, code: str
) -> None:
    def say(_: httpx2.Request) -> httpx2.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(EngineError) as refused:
        asked(settled, say).digest_of(REFERENCE, "1.0.0")
    assert refused.value.code == code
    assert "secret-word" not in f"{refused.value.message} {refused.value.cause}"


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("python", "docker.io/library/python"),
        ("nvidia/cuda", "docker.io/nvidia/cuda"),
        ("nvcr.io/nvidia/pytorch", "nvcr.io/nvidia/pytorch"),
        ("registry:5000/x", "registry:5000/x"),
        ("localhost/x", "localhost/x"),
    ],
)
def test_bases_are_copied_from_where_docker_would_pull_them(name: str, full: str) -> None:
    assert mirror.full_name(name) == full


def test_a_token_server_that_refuses_is_a_refusal(settled: Settings) -> None:
    def say(request: httpx2.Request) -> httpx2.Response:
        challenge = 'Bearer realm="https://ghcr.io/token",service="ghcr.io"'
        headers = {} if request.url.path == "/token" else {"WWW-Authenticate": challenge}
        return httpx2.Response(401, headers=headers)

    with pytest.raises(EngineError) as refused:
        asked(settled, say).digest_of(REFERENCE, "1.0.0")
    assert refused.value.code == "registry_refused"


ODD = [
    (200, "<html>Sign in to the guest network</html>"),
    (200, "[]"),
    (200, "null"),
    (200, "[" * 100_000),
    (200, '{"layers": ["x"]}'),
    (200, '{"layers": [{"size": null}]}'),
    (200, '{"layers": [{"size": "x"}]}'),
    (404, "default backend - 404"),
    (404, "<html>Not here</html>"),
    (404, "{}"),
]


@pytest.mark.parametrize(("status", "body"), ODD)
def test_what_answers_in_the_registrys_place_is_said_and_takes_nothing_for_gone(
    settled: Settings, status: int, body: str
) -> None:
    registry = asked(settled, lambda _: httpx2.Response(status, text=body))
    for ask in (registry.download_bytes, lambda name: registry.digest_of(name, "1.0.0")):
        with pytest.raises(EngineError) as refused:
            ask(REFERENCE)
        assert refused.value.code == "registry_unreachable"


def test_a_registry_that_knows_no_such_tag_says_so_in_its_own_words(settled: Settings) -> None:
    gone = {"errors": [{"code": "MANIFEST_UNKNOWN"}]}
    registry = asked(settled, lambda _: httpx2.Response(404, json=gone))
    assert registry.digest_of(REFERENCE, "1.0.0") is None


def test_a_registry_that_does_not_say_the_digest_is_believed_by_its_content(
    settled: Settings,
) -> None:
    manifest = b'{"schemaVersion": 2, "layers": [{"size": -5}, {"size": 7}], "config": "x"}'
    registry = asked(settled, lambda _: httpx2.Response(200, content=manifest))
    assert registry.digest_of(REFERENCE, "1.0.0") == f"sha256:{sha256(manifest).hexdigest()}"
    assert registry.download_bytes(REFERENCE) == 7
    assert registry.config_of(REFERENCE) == ""


def test_a_token_server_that_answers_something_else_is_no_registry(settled: Settings) -> None:
    def say(request: httpx2.Request) -> httpx2.Response:
        challenge = 'Bearer realm="https://ghcr.io/token",service="ghcr.io"'
        if request.url.path == "/token":
            return httpx2.Response(200, json=[1])
        return httpx2.Response(401, headers={"WWW-Authenticate": challenge})

    with pytest.raises(EngineError) as refused:
        asked(settled, say).digest_of(REFERENCE, "1.0.0")
    assert refused.value.code == "registry_unreachable"
