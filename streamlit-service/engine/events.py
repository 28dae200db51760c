"""What an engine tells of what happened in containers (Docker Engine API, GET /events)."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import docker
from portal.core.engine import LABEL_DEPLOYMENT


def killed_for_memory(
    client: docker.DockerClient, label: str, since: datetime, until: datetime, timeout_s: float
) -> dict[str, datetime]:
    """Deployment id → when something in its container was last killed, of containers with a label.

    `until` must be over, or the engine waits for it. Raises requests' exceptions.
    """
    wanted = {"type": ["container"], "event": ["oom"], "label": [label]}
    span = {"since": f"{since.timestamp():.6f}", "until": f"{until.timestamp():.6f}"}
    # docker-py's own call has no deadline, and cuts times to whole seconds.
    answer = client.api.get(
        f"{client.api.base_url}/events",
        params={**span, "filters": json.dumps(wanted)},
        timeout=timeout_s,
    )
    answer.raise_for_status()
    killed = {}
    for event in map(json.loads, answer.text.splitlines()):
        at = datetime.fromtimestamp(event["timeNano"] / 1e9, UTC)
        if at > since:
            killed[str(event["Actor"]["Attributes"].get(LABEL_DEPLOYMENT, ""))] = at
    return killed
