"""Process entry: the SSH door, on one port, for everybody."""

from __future__ import annotations

import asyncio
import resource
import signal
from contextlib import suppress

import asyncssh
import bootstrap
import structlog
from door import host_key
from door.server import Door

PORT = 2222
"""Inside the container."""
CLOSING_S = 3.0
log = structlog.get_logger()


async def serve() -> None:
    """Until the process is told to end."""
    bootstrap.configure_logging()
    settings = bootstrap.settings()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each connection is two files
    cards = bootstrap.known_cards(settings)
    portal = bootstrap.portal(settings, wake=lambda: None, cards=cards)
    door, ended = Door(portal), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    key = host_key.ensure(settings.ssh_host_key_file, settings.ssh_host_public_file)
    acceptor = await door.listen("0.0.0.0", PORT, key)  # noqa: S104  (inside a container)
    tasks = [asyncio.create_task(door.watch()), asyncio.create_task(door.record())]
    log.info("ssh_door_open", port=PORT, host_key=key.get_fingerprint())
    await ended.wait()
    acceptor.close()
    with suppress(TimeoutError):
        await asyncio.wait_for(door.finish(), CLOSING_S)
    for task in tasks:
        task.cancel()
    portal.database.close()


if __name__ == "__main__":
    asyncssh.set_log_level("WARNING")
    asyncio.run(serve())
