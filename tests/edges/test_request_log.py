"""One id from the gateway to the log line and back; what is no id of the gateway's is not believed."""

from __future__ import annotations

import pytest
import structlog
from fastapi import FastAPI
from fastapi.testclient import TestClient
from request_log import HEADER, RequestLog
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


@pytest.mark.parametrize("given", ["", "short", GIVEN + "0", GIVEN.upper(), 'x","level":"forged' + "0" * 20])
def test_another_form_is_replaced(http: TestClient, given: str) -> None:
    answer = http.get("/", headers={HEADER: given})
    assert answer.headers[HEADER] != given
    assert len(answer.headers[HEADER]) == len(GIVEN)
