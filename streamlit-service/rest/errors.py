"""Errors over HTTP: problem+json (RFC 9457) with code, message and hint, the same everywhere."""

from __future__ import annotations

import json
import uuid

import structlog
from auth import note_refusal
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from portal.audit.refusals import Refusals
from portal.core.errors import PortalError
from starlette.exceptions import HTTPException

log = structlog.get_logger()
SEE_API = "The API's description is at /api/docs."


def problem(status: int, code: str, message: str, hint: str = "") -> JSONResponse:
    """A problem document; `reference` is what an administrator searches the log for."""
    reference = uuid.uuid4().hex[:8]
    body = {
        "type": "about:blank",
        "status": status,
        "title": message,
        "detail": hint,
        "code": code,
        "message": message,
        "hint": hint,
        "reference": reference,
    }
    return JSONResponse(body, status, media_type="application/problem+json")


def problem_of(error: PortalError) -> JSONResponse:
    """The problem document of a refusal."""
    return problem(error.status, error.code, error.message, error.hint)


def reference_of(answer: JSONResponse) -> str:
    """The reference that a problem document shows."""
    reference: str = json.loads(bytes(answer.body))["reference"]
    return reference


def install(app: FastAPI, refusals: Refusals | None = None) -> None:
    """Answer every kind of error as a problem document; who was not let in is recorded."""

    def refused(request: Request, answer: JSONResponse, cause: str) -> JSONResponse:
        said = json.loads(bytes(answer.body))
        reference = {"code": said["code"], "reference": said["reference"]}
        log.info("request_refused", path=request.url.path, cause=cause, **reference)
        return answer

    @app.exception_handler(PortalError)
    async def portal_error(request: Request, error: PortalError) -> JSONResponse:
        if refusals:
            identity = getattr(request.state, "identity", None)
            note_refusal(refusals, error, request.headers, identity)
        return refused(request, problem_of(error), error.cause)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
        message = f"{where}: {first['msg']}."
        return refused(request, problem(422, "bad_request", message, SEE_API), message)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        detail = str(error.detail)
        return refused(request, problem(error.status_code, "http_error", detail, SEE_API), detail)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        answer = problem(
            500,
            "internal",
            "The portal could not finish this.",
            "Tell your administrator the reference.",
        )
        log.error(
            "unexpected_error",
            path=request.url.path,
            reference=reference_of(answer),
            exc_info=error,
        )
        return answer
