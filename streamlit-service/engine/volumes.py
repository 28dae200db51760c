"""How much is in volumes: counted by the engine, which reads through all of them for it."""

from __future__ import annotations

import docker
from docker.utils import version_lt

FIRST, LATEST = "1.42", "1.44"
"""Versions of the engine's API: from the first on volumes can be asked for alone, and the answer
is known to the latest. An engine before would count images and containers, too."""


def sizes(client: docker.DockerClient, timeout_s: float) -> dict[str, int] | None:
    """Bytes by name; None where the engine cannot say (Docker Engine API, SystemDataUsage)."""
    api = client.api
    if version_lt(api.api_version, FIRST):
        return None
    version = FIRST if version_lt(api.api_version, LATEST) else LATEST
    answer = api.get(
        f"{api.base_url}/v{version}/system/df", params={"type": "volume"}, timeout=timeout_s
    )
    answer.raise_for_status()
    volumes = answer.json().get("Volumes") or []
    counted = {
        volume["Name"]: (volume.get("UsageData") or {}).get("Size", -1) for volume in volumes
    }
    return {name: size for name, size in counted.items() if size >= 0}
