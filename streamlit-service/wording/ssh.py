"""How to connect by SSH."""

from __future__ import annotations

import shlex

DOOR = "container-portal"
"""The door's name in people's ~/.ssh/config."""


def pkcs11_module(agent: str) -> str:
    """Where OpenSC's module is on the system that a browser says it runs on."""
    if "Windows" in agent:
        return r'"C:\Program Files\OpenSC Project\OpenSC\pkcs11\opensc-pkcs11.dll"'
    if "Mac OS" in agent:
        return "/usr/local/lib/opensc-pkcs11.so"
    return "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so"


def ssh_config(name: str, command: str, module: str, *, has_key: bool = False) -> str:
    """Blocks for ~/.ssh/config (ssh_config(5)) of a container and of the door, for the card.

    Whoever has added a key may have no OpenSC: for them the card's line is a comment.
    """
    _, _, door, target = shlex.split(command)
    (user, _, address), (login, _, _) = door.rpartition("@"), target.partition("@")
    host, _, port = address.rpartition(":")
    card = f"    {'# With your smart card: ' if has_key else ''}PKCS11Provider {module}"
    return "\n".join(
        [
            f"Host {name}",
            f"    User {login}",
            f"    ProxyJump {DOOR}",
            card,
            f"Host {DOOR}",
            f"    HostName {host}",
            f"    Port {port}",
            f'    User "{user}"',
            card,
            "    ServerAliveInterval 30",
        ]
    )
