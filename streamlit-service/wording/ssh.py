"""How to connect by SSH."""

from __future__ import annotations


def pkcs11_module(agent: str) -> str:
    """Where OpenSC's module is on the system that a browser says it runs on."""
    if "Windows" in agent:
        return r'"C:\Program Files\OpenSC Project\OpenSC\pkcs11\opensc-pkcs11.dll"'
    if "Mac OS" in agent:
        return "/usr/local/lib/opensc-pkcs11.so"
    return "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so"


def ssh_config(name: str, command: str, module: str, *, has_key: bool = False) -> str:
    """A block for ~/.ssh/config (ssh_config(5)), for the card.

    Whoever has added a key may have no OpenSC: for them the card's line is a comment.
    """
    _, _, port, target = command.split()
    user, _, host = target.partition("@")
    lines = [
        f"Host {name}",
        f"    HostName {host}",
        f"    Port {port}",
        f"    User {user}",
        f"    {'# With your smart card: ' if has_key else ''}PKCS11Provider {module}",
        "    ServerAliveInterval 30",
    ]
    return "\n".join(lines)
