"""Listens on TensorBoard's port and starts TensorBoard when somebody comes: most never do.

It costs some seconds of every start and 100 MB of memory otherwise. Until it answers, a browser is
shown a page that says so and looks again; everything else waits. Runs at low priority, so that
TensorBoard never delays the notebook.
The same file in every image's folder (images/shared); a test holds the copies equal.
"""

import asyncio
import contextlib
import os
import sys

PORT, BEHIND = 6006, 6016
HEAD_BYTES, HEAD_S, READY_S, POLL_S = 64 * 1024, 10, 60, 0.2
COMMAND = (
    *("/opt/venv/bin/tensorboard", "--logdir", os.environ["TENSORBOARD_LOGDIR"]),
    *("--host", "127.0.0.1", "--port", str(BEHIND), "--reload_interval", "5"),
)
WAIT = b"""HTTP/1.1 200 OK\r
Content-Type: text/html; charset=utf-8\r
Cache-Control: no-store\r
Refresh: 1\r
Connection: close\r
\r
<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">
<title>TensorBoard is starting</title><style>
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui; margin: 4rem auto; max-width: 30rem; padding: 0 1rem }
</style><h1>TensorBoard is starting</h1>
<p>This takes a few seconds the first time. The page continues automatically.</p></html>
"""


class TensorBoard:
    """The process behind the port; started anew when it has ended."""

    def __init__(self):
        self._starting = None

    async def answers(self):
        """Whether it takes connections. Starts it when it does not run."""
        if self._starting is None or self._starting.done():
            if await self._connects():
                return True
            self._starting = asyncio.ensure_future(self._run())
        return await self._connects()

    async def ready(self):
        """Wait until it answers, starting it as often as it ends."""
        while not await self.answers():
            await asyncio.sleep(POLL_S)

    async def _run(self):
        process = await asyncio.create_subprocess_exec(*COMMAND)
        code = await process.wait()
        sys.stderr.write(f"TensorBoard ended ({code}); it starts again when somebody opens it\n")

    async def _connects(self):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", BEHIND)
        except OSError:
            return False
        writer.close()
        return True


async def copy(reader, writer):
    """One direction, to its end."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


async def serve(board, reader, writer):
    """One connection: the waiting page, or what TensorBoard says."""
    try:
        head = b""
        if not await board.answers():
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_S)
            if b"text/html" in head.lower():
                writer.write(WAIT)
                await writer.drain()
                return
        await asyncio.wait_for(board.ready(), READY_S)
        there, back = await asyncio.open_connection("127.0.0.1", BEHIND)
        back.write(head)
        await asyncio.gather(copy(reader, back), copy(there, writer))
        back.close()
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
        pass
    finally:
        writer.close()


async def main():
    """Listen for ever."""
    os.nice(10)
    board = TensorBoard()
    server = await asyncio.start_server(
        lambda reader, writer: serve(board, reader, writer), "0.0.0.0", PORT, limit=HEAD_BYTES
    )
    async with server:
        await server.serve_forever()


asyncio.run(main())
