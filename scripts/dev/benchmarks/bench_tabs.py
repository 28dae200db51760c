"""Bench of open tabs: what My containers costs the pages' server while nothing happens."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import docker
import httpx2
from ordering import order, tidy, until_state
from rows import Row, Sizes, row
from stack import Stack
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.asyncio.client import connect
from websockets.typing import Origin, Subprotocol

SETTLED_S = 10
BETWEEN_S = 0.1
STREAMLIT = Subprotocol("streamlit")
FEED = "/api/v1/board/events"


def benchmarks(stack: Stack, john: httpx2.Client, sizes: Sizes) -> dict[str, Callable[[], Row]]:
    """The row, by name."""
    return {"tabs": lambda: _tabs(stack, john, sizes)}


def _tabs(stack: Stack, john: httpx2.Client, sizes: Sizes) -> Row:
    """Each tab as a browser holds it: a session with the ui that drew the page, and the feed."""
    with tidy(stack, john):
        until_state(john, order(john, "bench-tabs", 1), "running")
        # In a thread of its own: the caller's may have a loop already.
        with ThreadPoolExecutor(1) as own:
            share = own.submit(asyncio.run, _open(stack, sizes)).result()
    what = f"share of a core of ui and api with {sizes.tabs} open tabs / one core"
    return row(what, [share], [1.0], "<= 0.20", "")


async def _open(stack: Stack, sizes: Sizes) -> float:
    card, many = stack.tls("john"), httpx2.Limits(max_connections=None)
    async with (
        httpx2.AsyncClient(
            base_url=stack.url, verify=card, timeout=None, trust_env=False, limits=many
        ) as http,
        asyncio.TaskGroup() as tabs,
    ):
        open_ones = []
        for _ in range(sizes.tabs):
            open_ones.append(tabs.create_task(_session(stack, card)))
            open_ones.append(tabs.create_task(_feed(http)))
            await asyncio.sleep(BETWEEN_S)
        await asyncio.sleep(SETTLED_S)
        before, begun = _cpu_s(stack), time.perf_counter()
        await asyncio.sleep(sizes.idle_s)
        share = (_cpu_s(stack) - before) / (time.perf_counter() - begun)
        for each in open_ones:
            each.cancel()
    return share


async def _session(stack: Stack, card: ssl.SSLContext) -> None:
    """A page is asked for as Streamlit's script does, and what is told is read."""
    url = f"{stack.url.replace('https', 'wss')}/_stcore/stream"
    asks = BackMsg()
    asks.rerun_script.page_name = "containers"
    async with connect(
        url, ssl=card, origin=Origin(stack.url), subprotocols=[STREAMLIT], max_size=None, proxy=None
    ) as line:
        await line.send(asks.SerializeToString())
        async for _ in line:
            pass


async def _feed(http: httpx2.AsyncClient) -> None:
    async with http.stream("GET", FEED) as answer:
        async for _ in answer.aiter_bytes():
            pass


def _cpu_s(stack: Stack) -> float:
    engine = docker.from_env()
    named = [f"{stack.project}-{service}-1" for service in ("ui", "api")]
    stats = [engine.api.stats(name, stream=False, one_shot=True) for name in named]
    return sum(int(each["cpu_stats"]["cpu_usage"]["total_usage"]) for each in stats) / 1e9
