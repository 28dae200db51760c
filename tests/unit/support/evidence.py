"""Exports of the audit trail, and what scripts/verify-audit.py says of them."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from certificates.signing import SigningKey
from portal import audit
from portal.context import Portal
from support.paths import ROOT
from support.samples import TEST

VERIFY: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "verify-audit.py"))


def verdict(text: str, path: Path, key: SigningKey | None = None) -> str:
    path.write_text(text, encoding="utf-8")
    try:
        return str(VERIFY["verify"](str(path), *([key.public] if key else [])))
    except VERIFY["Broken"] as problem:
        return f"BROKEN {problem}"


def exported(portal: Portal, **period: Any) -> str:
    return "".join(audit.export(portal, TEST, **period))
