"""Keys for SSH."""

from __future__ import annotations

import asyncssh


def made() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


def text(key: asyncssh.SSHKey) -> str:
    return key.export_public_key("openssh").decode().strip()
