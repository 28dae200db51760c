"""Process entry of api, authz and worker: `python3 serve.py api:create_app 8000`."""

from __future__ import annotations

import asyncio
import sys
from types import FrameType

import uvicorn
from rest.stopping import STOPPING
from uvicorn.config import STARTUP_FAILURE

TICK_S = 0.5
GRACE_S = 8
"""For answers that are under way: Docker kills after ten."""


class Server(uvicorn.Server):
    """Checks twice a second whether it should stop; ten times is a quarter of its work at rest."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Tell those who answer without an end, too: uvicorn waits for every answer."""
        STOPPING.set()
        super().handle_exit(sig, frame)

    async def main_loop(self) -> None:
        """Until it is told to end; at tick 0 uvicorn also renews the date of its answers."""
        while not await self.on_tick(0):  # noqa: ASYNC110  (uvicorn has a flag, no event)
            await asyncio.sleep(TICK_S)


def main(application: str, port: str) -> None:
    """Serve MODULE:FACTORY on every address. Exits with 3 when it cannot start."""
    server = Server(
        uvicorn.Config(
            application,
            factory=True,
            host="0.0.0.0",  # noqa: S104  (of its container)
            port=int(port),
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        )
    )
    server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


if __name__ == "__main__":
    main(*sys.argv[1:])
