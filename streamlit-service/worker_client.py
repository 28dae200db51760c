"""The way from the pages and the API to the worker's endpoint: wake it, read a container's log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from portal.errors import EngineError, PortalError

WAKE_TIMEOUT_S = 0.5
LOG_CONNECT_S = 5.0
LOG_SILENCE_S = 3600.0


class WorkerClient:
    """Thread-safe. Calls carry the secret that nginx and the services share."""

    def __init__(self, url: str, secret: str) -> None:
        timeout = httpx.Timeout(LOG_CONNECT_S, read=LOG_SILENCE_S)
        self._client = httpx.Client(base_url=url, headers={"X-Proxy-Secret": secret}, timeout=timeout, trust_env=False)

    def wake(self) -> None:
        """Tell the worker to look now. Best effort: it also looks every second by itself."""
        try:
            self._client.post("/wake", timeout=WAKE_TIMEOUT_S)
        except httpx.HTTPError:
            return

    @contextmanager
    def logs(self, deployment_id: str, *, tail: int, follow: bool) -> Iterator[Iterator[bytes]]:
        """A stream of log lines. Raises EngineError when the worker or the VM does not answer."""
        parameters: dict[str, str | int] = {"tail": tail, "follow": str(follow).lower()}
        try:
            with self._client.stream("GET", f"/logs/{deployment_id}", params=parameters) as response:
                if response.status_code != httpx.codes.OK:
                    raise _error(response)
                yield response.iter_bytes()
        except httpx.HTTPError as error:
            raise EngineError("worker_silent", "The log cannot be read now.", "Try again in a minute.",
                              cause=str(error)) from error  # fmt: skip


def _error(response: httpx.Response) -> PortalError:
    response.read()
    body = response.json() if "json" in response.headers.get("content-type", "") else {}
    return EngineError(body.get("code", "no_log"), body.get("message", "The log cannot be read now."),
                       body.get("hint", "Try again in a minute."))  # fmt: skip
