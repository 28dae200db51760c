"""The way from the pages and the API to the worker's endpoint: wake it, read a container's log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import structlog
from portal.core.errors import EngineError, NotFound, PortalError
from portal.core.signatures import Signed

WAKE_TIMEOUT_S = 0.5
LOG_TIMEOUT_S = 20.0
MAX_TAIL = 10_000
"""Lines of a log that one call gives."""
MEASURE_TIMEOUT_S = 150.0
VERIFY_TIMEOUT_S = 1900.0  # between two lines: a whole download may lie there


class WorkerClient:
    """Thread-safe. Calls carry the secret that nginx and the services share."""

    def __init__(self, url: str, secret: str) -> None:
        self._client = httpx2.Client(
            base_url=url,
            headers={"X-Proxy-Secret": secret},
            timeout=LOG_TIMEOUT_S,
            trust_env=False,
            event_hooks={"request": [_with_id]},
        )

    def wake(self) -> None:
        """Have the worker read its records now. Best effort: it does so every second by itself."""
        try:
            self._client.post("/wake", timeout=WAKE_TIMEOUT_S)
        except httpx2.HTTPError:
            return

    def logs(self, deployment_id: str, *, tail: int, since: str = "") -> bytes:
        """The last log lines, or those after a time stamp.

        Raises the worker's error, or EngineError without it.
        """
        try:
            response = self._client.get(
                f"/logs/{deployment_id}", params={"tail": tail, "since": since}
            )
        except httpx2.HTTPError as error:
            raise EngineError(
                "worker_silent",
                "The log cannot be read now.",
                "Try again in a minute.",
                cause=str(error),
            ) from error
        if response.status_code != httpx2.codes.OK:
            raise _error(response)
        return response.content

    def verify_vm(self, vm: str) -> Iterator[dict[str, str]]:
        """Each check of jobs.verify_vm, as the worker does it. Raises what the worker raised."""
        timeout = httpx2.Timeout(VERIFY_TIMEOUT_S, connect=5)
        try:
            with self._client.stream("POST", f"/vms/{vm}/verify", timeout=timeout) as response:
                if response.status_code != httpx2.codes.OK:
                    response.read()
                    raise _error(response)
                for line in response.iter_lines():
                    yield json.loads(line)
        except httpx2.HTTPError as error:
            raise _silent(error) from error

    def measure(self, vm: str) -> dict[str, Any]:
        """What containers reach on a VM (core.isolation). Raises what the worker raised."""
        try:
            response = self._client.post(f"/vms/{vm}/isolation", timeout=MEASURE_TIMEOUT_S)
        except httpx2.HTTPError as error:
            raise _silent(error) from error
        if response.status_code != httpx2.codes.OK:
            raise _error(response)
        measured: dict[str, Any] = response.json()
        return measured

    def sign_export(self, body: str, last: int, hash_: str) -> Signed | None:
        """The worker's signature of an export; None where it has no key. Raises what it raised."""
        asked = {"body": body, "last": last, "hash": hash_}
        try:
            response = self._client.post("/audit/signature", json=asked)
        except httpx2.HTTPError as error:
            raise _silent(error) from error
        if response.status_code != httpx2.codes.OK:
            raise _error(response)
        said = response.json()
        return Signed(**said) if said else None


def _silent(error: Exception) -> EngineError:
    return EngineError(
        "worker_silent",
        "The worker does not answer.",
        "Is it running? docker compose ps",
        cause=str(error),
    )


def _with_id(request: httpx2.Request) -> None:
    """The worker's log lines carry the id of the request that they are for."""
    if request_id := structlog.contextvars.get_contextvars().get("request_id"):
        request.headers["X-Request-Id"] = request_id


def _error(response: httpx2.Response) -> PortalError:
    body = response.json() if "json" in response.headers.get("content-type", "") else {}
    kind = NotFound if response.status_code == httpx2.codes.NOT_FOUND else EngineError
    return kind(
        body.get("code", "no_log"),
        body.get("message", "The log cannot be read now."),
        body.get("hint", "Try again in a minute."),
    )
