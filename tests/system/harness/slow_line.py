"""A line to a VM on which everything takes a while, in both directions.

STAND-IN for a network with delay: the kernels that tests run on need not have netem (tc-netem(8)).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import docker
from stack import Stack

from harness.fleet import TestVm

NAME, PORT = "far-away", 2222
FORWARD = """
import asyncio, sys
host, port, delay_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])

async def one_way(reader, writer):
    clock, waiting = asyncio.get_running_loop().time, asyncio.Queue()
    async def receive():
        while data := await reader.read(65536):
            waiting.put_nowait((clock() + delay_s, data))
        waiting.put_nowait((clock() + delay_s, b""))
    receiving = asyncio.create_task(receive())
    while True:
        due, data = await waiting.get()
        await asyncio.sleep(due - clock())
        if not data:
            break
        writer.write(data)
    writer.close()
    await receiving

async def serve(reader, writer):
    there, back = await asyncio.open_connection(host, 22)
    await asyncio.gather(one_way(reader, back), one_way(there, writer), return_exceptions=True)

async def main():
    async with await asyncio.start_server(serve, "0.0.0.0", port) as server:
        await server.serve_forever()

asyncio.run(main())
"""


@contextmanager
def slow_line(stack: Stack, vm: TestVm, delay_s: float) -> Iterator[str]:
    """The address of the VM's engine at the end of such a line."""
    line = docker.from_env().containers.run(
        "container-portal:dev",
        ["-u", "-c", FORWARD, vm.address, str(PORT), str(delay_s)],
        entrypoint="python3",
        hostname=NAME,
        network=f"{stack.project}_portal",
        name=f"{stack.project}-{NAME}",
        init=True,
        detach=True,
    )
    known = stack.home / "secrets" / "ssh_known_hosts"
    before = known.read_text()
    kind, key = vm.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2]
    try:
        line.reload()
        address = line.attrs["NetworkSettings"]["Networks"][f"{stack.project}_portal"]["IPAddress"]
        known.write_text(f"{before}[{address}]:{PORT} {kind} {key}\n")
        yield f"ssh://portal@{address}:{PORT}"
    finally:
        known.write_text(before)
        line.remove(force=True)
