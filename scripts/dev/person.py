"""A person with a certificate, over HTTPS, of the standard library alone."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from builds import StackError

TIMEOUT_S = 30
FOLLOW_S = 240


class Person:
    """Asks the portal as somebody, trusting the demonstration's authority only."""

    def __init__(self, url: str, certs: Path, name: str) -> None:
        context = ssl.create_default_context(cafile=str(certs / "ca.crt"))
        context.load_cert_chain(certs / f"{name}.crt", certs / f"{name}.key")
        self._url = url
        self._opener = build_opener(HTTPSHandler(context=context), ProxyHandler({}))

    def get(self, path: str) -> Any:
        """The answer's JSON. StackError with the refusal's words, as for every method here."""
        return self._ask("GET", path)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer's JSON."""
        return self._ask("POST", path, body)

    def delete(self, path: str) -> Any:
        """The answer's JSON."""
        return self._ask("DELETE", path)

    def lines(self, path: str) -> Iterator[str]:
        """The lines of a stream, as they come."""
        with self._sent(self._request("GET", path), FOLLOW_S) as answer:
            for line in answer:
                yield line.decode().rstrip("\r\n")

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        with self._sent(self._request(method, path, body), TIMEOUT_S) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    @contextmanager
    def _sent(self, request: Request, timeout_s: float) -> Iterator[HTTPResponse]:
        try:
            with self._opener.open(request, timeout=timeout_s) as answer:
                yield answer
        except HTTPError as refusal:
            raise StackError(_words(refusal)) from None
        except OSError as error:
            raise StackError(f"{self._url} does not answer: {error}") from error

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Request:
        url = path if path.startswith("https://") else self._url + path
        data = None if body is None else json.dumps(body).encode()
        return Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310


def _words(refusal: HTTPError) -> str:
    """What the portal says, or where the gateway answered instead, with which status."""
    try:
        problem = json.loads(refusal.read())
        return f"{problem['message']} {problem.get('hint', '')}".strip()
    except (ValueError, KeyError, TypeError):
        return f"{refusal.url}: {refusal}"
