from __future__ import annotations

from typing import Any

import pytest
from engine import errors as engine_errors
from engine.pull import layers_of
from portal.core.models import LayerProgress


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("write /var/lib/docker/tmp/x: no space left on device", "disk_full"),
        ('Head "https://registry:5000/v2/x": no basic auth credentials', "registry_refused"),
        ("unauthorized: authentication required", "registry_refused"),
        (
            "manifest for registry:5000/x@sha256:aa not found: manifest unknown: manifest unknown",
            "image_gone",
        ),
        ("dial tcp 10.0.0.9:5000: connect: connection refused", "registry_unreachable"),
        ("x509: certificate signed by unknown authority", "registry_unreachable"),
        ("denied: requested access to the resource is denied", "registry_refused"),
        ("pull access denied for x, repository does not exist", "registry_refused"),
        ("received unexpected HTTP status: 503 Service Unavailable", "registry_unreachable"),
        ("toomanyrequests: too many requests", "registry_unreachable"),
        ("failed to register layer: processing tar file(1): no space left on device", "disk_full"),
        ("failed to register layer: mkdir /var/lib/docker/x: permission denied", "unpack_failed"),
        ("failed to extract layer sha256:aa: read-only file system", "unpack_failed"),
        ("something new", "pull_failed"),
    ],
)
def test_what_a_pull_says_is_told_to_people(text: str, code: str) -> None:
    error = engine_errors.pull_failed(text, "registry:5000/x@sha256:aa")
    assert error.code == code
    assert text in error.cause
    assert text not in error.message


def test_what_keeps_an_image_from_being_unpacked_is_in_the_engines_words() -> None:
    text = "failed to register layer: mkdir /var/lib/docker/x: permission denied"
    error = engine_errors.pull_failed(text, "registry:5000/x@sha256:aa")
    assert error.message == "The VM could not unpack the image: permission denied."


def test_layers_are_counted_in_bytes_of_the_download() -> None:
    stream: list[dict[str, Any]] = [
        {"status": "Pulling from ml-cpu", "id": "sha256:aa"},
        {"status": "Pulling fs layer", "id": "l1"},
        {"status": "Downloading", "id": "l1", "progressDetail": {"current": 40, "total": 100}},
        {"status": "Download complete", "id": "l1"},
        {"status": "Extracting", "id": "l1", "progressDetail": {"current": 3, "total": 900}},
        {"status": "Digest: sha256:aa"},
    ]
    seen = [layers[0] for layers in layers_of(stream)]
    assert len(seen) == 4
    assert seen[-1] == LayerProgress("l1", 100, 100, "Extracting")
