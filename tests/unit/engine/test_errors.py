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
        ('Get "https://r:5000/v2/": Proxy Authentication Required', "proxy_refused"),
        ("proxyconnect tcp: dial tcp 10.0.0.1:3128: connect: connection refused", "proxy_refused"),
        (
            "error getting credentials - err: exec: docker-credential-pass: file not found",
            "registry_refused",
        ),
        ("server message: insufficient_scope: authorization failed", "registry_refused"),
        ("open /var/lib/docker/tmp/GetImageBlob1: permission denied", "unpack_failed"),
        ("write /var/lib/docker/tmp/x: input/output error", "unpack_failed"),
        (
            "read tcp 10.0.0.2:4->10.0.0.9:5000: read: connection reset by peer",
            "registry_unreachable",
        ),
        ("dial tcp 10.0.0.9:5000: connect: no route to host", "registry_unreachable"),
        ("dial tcp 10.0.0.9:5000: i/o timeout", "registry_unreachable"),
        ("received unexpected HTTP status: 429 Too Many Requests", "registry_unreachable"),
        (
            "unexpected status from HEAD request to https://r/v2/: 503 Service Unavailable",
            "registry_unreachable",
        ),
        ("lookup r on 127.0.0.53:53: server misbehaving", "registry_unreachable"),
        ("http: server gave HTTP response to HTTPS client", "registry_unreachable"),
        ("unexpected EOF", "registry_unreachable"),
        ("manifest for registry.geofence.mil/x not found: manifest unknown", "image_gone"),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", "wrong_platform"),
        ('denied: Permission denied for "sha256:aa" from request "/v2/x"', "registry_refused"),
        ("dial tcp 10.0.0.9:5000: connect: permission denied", "registry_unreachable"),
        ("dial tcp 10.0.0.9:5000: connect: connection timed out", "registry_unreachable"),
        ("dial tcp 10.0.0.9:5000: connect: host is down", "registry_unreachable"),
        ("something new", "pull_failed"),
    ],
)
def test_what_a_pull_says_is_told_to_people(text: str, code: str) -> None:
    error = engine_errors.pull_failed(text, "registry:5000/x@sha256:aa")
    assert error.code == code
    assert text in error.cause
    assert text not in error.message


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("mkdir /var/lib/docker/overlay2/x: no space left on device", "disk_full"),
        ("mkdir /var/lib/docker/overlay2/x: read-only file system", "disk_broken"),
        ("open /var/lib/docker/x: input/output error", "disk_broken"),
        (
            "nvidia-container-cli: initialization error: nvml error: driver not loaded",
            "driver_broken",
        ),
        ("Failed to initialize NVML: Driver/library version mismatch", "driver_broken"),
        ("Failed to initialize NVML: Unknown Error", "driver_broken"),
        ("nvidia-container-cli: device error: GPU-1: unknown device", "gpu_gone"),
        (
            "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.9",
            "driver_old",
        ),
        ("could not select device driver with capabilities: [[gpu]]", "no_toolkit"),
        ("unknown or invalid runtime name: nvidia", "no_toolkit"),
        ("fork/exec /usr/bin/runc: cannot allocate memory", "vm_exhausted"),
        ("join session keyring: create session key: disk quota exceeded", "vm_exhausted"),
        ("mkdir /sys/fs/cgroup/memory/docker/abc: no space left on device", "vm_exhausted"),
        ("failed to initialize inotify fd: no space left on device", "vm_exhausted"),
        (
            "create new shim socket: listen unix /run/containerd/s/x: bind: address already in use",
            "engine_refused",
        ),
        ("Range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available", "vm_shrunk"),
        ("failed to allocate gateway (10.213.0.1): Address already in use", "no_subnet"),
        ("iptables failed: iptables: No chain/target/match by that name", "engine_refused"),
        ("exec /usr/local/bin/start.sh: exec format error", "wrong_platform"),
        ("Conflict. The container name is already in use by container abc", "container_exists"),
        ("something new", "engine_refused"),
    ],
)
def test_what_a_start_says_is_told_to_people(text: str, code: str) -> None:
    assert engine_errors.refused(text, "vm-01").code == code


@pytest.mark.parametrize("end", ["", ".", ": unknown", ": unknown."])
def test_what_keeps_an_image_from_being_unpacked_is_in_the_engines_words(end: str) -> None:
    text = f"failed to register layer: mkdir /var/lib/docker/x: permission denied{end}"
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
