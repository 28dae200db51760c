"""Whatever is sent to the API by whom it may be: an answer or a refusal, never a fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error

EXAMPLES = 15
"""Of each route; more find the same."""
STREAMS = ("/events", "/logs")
"""Their answers end with what they are about."""


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_no_request_is_a_fault(app: FastAPI, ask: Callable[..., Any], method: str) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", app).include(method=method)
    asked = 0
    found: Any
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.endswith(STREAMS):
            continue

        @given(case=operation.as_strategy())
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def send(case: Any) -> None:
            case.call_and_validate(headers={"X-Person": "ray"}, checks=[not_a_server_error])

        send()
        asked += 1
    assert asked
