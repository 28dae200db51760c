"""The door's own key, which people compare at their first connection."""

from __future__ import annotations

from pathlib import Path

import asyncssh

KIND = "ecdsa-sha2-nistp256"
"""Every client knows it, with FIPS too."""


def ensure(path: Path, public: Path) -> asyncssh.SSHKey:
    """The key in a file, made where there is none; its public half goes into another."""
    if not path.exists():
        made = asyncssh.generate_private_key(KIND, comment="container-portal")
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_bytes(made.export_private_key("openssh"))
        new.rename(path)  # whole, or not at all
    key = asyncssh.read_private_key(str(path))
    public.write_bytes(key.export_public_key("openssh"))
    return key
