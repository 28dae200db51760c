"""A person with a certificate, over HTTPS, of the standard library alone."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
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
        with self._opener.open(self._request("GET", path), timeout=FOLLOW_S) as answer:
            for line in answer:
                yield line.decode().rstrip("\r\n")

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            with self._opener.open(self._request(method, path, body), timeout=TIMEOUT_S) as answer:
                text = answer.read()
        except HTTPError as refusal:
            problem = json.loads(refusal.read() or b"{}")
            words = f"{problem.get('message', refusal)} {problem.get('hint', '')}"
            raise StackError(words.strip()) from None
        except OSError as error:
            raise StackError(f"{self._url} does not answer: {error}") from error
        return json.loads(text) if text else None

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Request:
        url = path if path.startswith("https://") else self._url + path
        data = None if body is None else json.dumps(body).encode()
        return Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
