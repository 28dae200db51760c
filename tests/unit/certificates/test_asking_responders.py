"""A responder is a stranger: what it sends is bounded in size and time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import bootstrap
import pytest
from portal.core.settings import Settings

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def responder() -> Iterator[Callable[[Answer], str]]:
    """A server that answers as told; gives its address."""
    answers: list[Answer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answers[0](self)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def serve(answer: Answer) -> str:
        answers[:] = [answer]
        return f"http://127.0.0.1:{server.server_port}/"

    yield serve
    server.shutdown()
    server.server_close()


def ask(settings: Settings, address: str) -> bytes:
    quick = settings.model_copy(update={"ocsp_timeout_s": 0.5})
    return bootstrap._ask_responder(quick, address, b"question")


def with_head(request: BaseHTTPRequestHandler, status: int = 200) -> None:
    request.send_response(status)
    request.end_headers()


def test_what_it_says_is_read(settings: Settings, responder: Callable[[Answer], str]) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        with_head(request)
        request.wfile.write(b"answer")

    assert ask(settings, responder(answer)) == b"answer"


def test_an_answer_without_end_ends(settings: Settings, responder: Callable[[Answer], str]) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        with_head(request)
        while True:
            request.wfile.write(b"x" * 65536)

    with pytest.raises(ValueError, match="too long"):
        ask(settings, responder(answer))


def test_an_answer_that_drips_takes_no_longer_than_its_deadline(
    settings: Settings, responder: Callable[[Answer], str]
) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        with_head(request)
        for _ in range(100):
            request.wfile.write(b"x")
            request.wfile.flush()
            time.sleep(0.1)

    began = time.monotonic()
    with pytest.raises(ValueError, match="takes too long"):
        ask(settings, responder(answer))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("status", [301, 404, 500])
def test_another_answer_than_good_is_none(
    settings: Settings, responder: Callable[[Answer], str], status: int
) -> None:
    with pytest.raises(OSError, match="HTTPStatusError"):
        ask(settings, responder(lambda request: with_head(request, status)))


def test_nobody_there_is_no_answer(settings: Settings) -> None:
    with pytest.raises(OSError, match="ConnectError"):
        ask(settings, "http://127.0.0.1:9/")
