"""One id from the gateway to the log line and back; ids of others are not believed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import structlog
from fastapi import FastAPI
from fastapi.testclient import TestClient
from rest.request_log import HEADER, RequestLog
from structlog.testing import capture_logs

GIVEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def http() -> TestClient:
    app = FastAPI()
    app.add_middleware(RequestLog)

    @app.get("/")
    def root() -> None:
        structlog.get_logger().info("worked")

    return TestClient(app)


def test_the_gateways_id_is_in_the_line_and_in_the_answer(http: TestClient) -> None:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        answer = http.get("/", headers={HEADER: GIVEN})
    assert answer.headers[HEADER] == GIVEN
    assert [line["request_id"] for line in lines] == [GIVEN]
    assert "request_id" not in structlog.contextvars.get_contextvars()


@pytest.mark.parametrize(
    "given", ["", "short", GIVEN + "0", GIVEN.upper(), 'x","level":"forged' + "0" * 20]
)
def test_another_form_is_replaced(http: TestClient, given: str) -> None:
    answer = http.get("/", headers={HEADER: given})
    assert answer.headers[HEADER] != given
    assert len(answer.headers[HEADER]) == len(GIVEN)


SAY = """
import logging, structlog, bootstrap
for name in ("uvicorn", "uvicorn.error"):
    logging.getLogger(name).addHandler(logging.StreamHandler())
bootstrap.configure_logging()
structlog.get_logger().info("state", deployment="0123456789ab")
logging.getLogger("uvicorn.error").warning('a "quoted" word\\nand a line')
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("somebody.else").exception("broke")
"""


def test_every_line_is_one_json_object_whoever_says_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAY],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("state", "info"),
        ('a "quoted" word\nand a line', "warning"),
        ("broke", "error"),
    ]
    assert lines[0]["deployment"] == "0123456789ab"
    assert "ZeroDivisionError" in lines[2]["exception"] and lines[2]["logger"] == "somebody.else"
    assert done.stdout == ""
