"""docs/ERROR_CODES.md from portal.core.error_codes, and what the code really raises."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from portal.core import errors
from portal.core.error_codes import CODES
from portal.core.resources import ORDERED
from portal.db import troubles
from portal.images.report import Kind

ROOT = Path(__file__).resolve().parents[2]
SERVICE = ROOT / "streamlit-service"
REFUSALS = ROOT / "deployment" / "nginx" / "pages"
PAGE = ROOT / "docs" / "ERROR_CODES.md"
FAMILIES = {
    "over_": [amount.name for amount in ORDERED],
    "refused_": [kind.value for kind in Kind],
    "bad_": [amount.name for amount in ORDERED],
    "database_": list(troubles.SAY),
}
"""Codes that are put together at run time, by their beginning."""
ANY = 0
TABLES = ("_PULL", "_RUN")
"""Tables of (signs, code, message) in engine/errors.py."""


def raised() -> dict[str, set[int]]:
    """Code → HTTP statuses, of every error that the service can raise, and of the gateway's own."""
    codes: dict[str, set[int]] = {}
    for path in SERVICE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for code, status in _codes(node):
                codes.setdefault(code, set()).add(status)
    for path in REFUSALS.glob("*.json"):
        refusal = json.loads(path.read_text(encoding="utf-8"))
        codes.setdefault(refusal["code"], set()).add(refusal["status"])
    return codes


def _codes(node: ast.AST) -> list[tuple[str, int]]:
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name == "problem" and len(node.args) > 1:
            number = getattr(node.args[0], "value", ANY)
            status = number if isinstance(number, int) else ANY
            return [(code, status) for code in _texts(node.args[1])]
        if name == "_match" and isinstance(node.args[2], ast.Tuple):
            return [(code, errors.EngineError.status) for code in _texts(node.args[2].elts[0])]
        if name == "kind" and node.args:
            return [(code, errors.EngineError.status) for code in _texts(node.args[0])]
        kind = getattr(errors, name, None)
        if name == "Refused":
            kind = errors.Conflict
        if name == "Failure":
            kind = errors.NoCapacity
        if name == "Trouble":
            kind = errors.EngineError
        if isinstance(kind, type) and issubclass(kind, errors.PortalError) and node.args:
            return [(code, kind.status) for code in _texts(node.args[0])]
    if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in TABLES:
        rows = node.value.elts if isinstance(node.value, ast.Tuple) else []
        return [
            (code, errors.EngineError.status)
            for row in rows
            if isinstance(row, ast.Tuple)
            for code in _texts(row.elts[1])
        ]
    return []


def _texts(node: ast.expr) -> list[str]:
    """The codes that an expression can be."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.IfExp):
        return [*_texts(node.body), *_texts(node.orelse)]
    if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
        beginning = str(node.values[0].value)
        return [beginning + rest for rest in FAMILIES.get(beginning, [])]
    if isinstance(node, ast.Call) and node.args:  # body.get("code", "no_log")
        return [str(a.value) for a in node.args[1:] if isinstance(a, ast.Constant)]
    return []


def table() -> str:
    """The page, in the order and with the headings of the list."""
    source = (SERVICE / "portal" / "core" / "error_codes.py").read_text(encoding="utf-8")
    statuses = raised()
    lines = [
        "# Error codes",
        "",
        "Every refusal and failure has a stable `code` beside its words: in answers of the REST",
        "API, in a deployment's `error`, in logs and metrics. Made by `make error-codes`.",
    ]
    for line in source.splitlines():
        if heading := re.fullmatch(r"    # (.+)\.", line):
            lines += ["", f"## {heading[1]}", "", "| code | HTTP | meaning |", "|---|---|---|"]
        if entry := re.match(r'    "(\w+)":', line):
            code = entry[1]
            numbers = ", ".join(str(s or "any") for s in sorted(statuses.get(code, ())))
            lines.append(f"| `{code}` | {numbers} | {CODES[code]} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(table(), encoding="utf-8")
