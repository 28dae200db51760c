"""The commands of the guides that are marked <!-- runs --> do what they say, in production."""

from __future__ import annotations

import re
import subprocess

import pytest
from production_system import somebody
from stack import ROOT, Stack

BLOCK = re.compile(r"<!-- runs -->\n```sh\n(.*?)```", re.DOTALL)
GUIDES = [ROOT / "docs" / name for name in ("ADMIN_GUIDE.md", "TROUBLESHOOTING.md")]
BLOCKS = [pytest.param(block, id=f"{path.name}: {block.splitlines()[0][:50]}")
          for path in GUIDES for block in BLOCK.findall(path.read_text(encoding="utf-8"))]  # fmt: skip
ADMIN = 'admin() { docker compose exec -T api python3 admin.py "$@"; }\n'


def test_there_are_such_commands() -> None:
    assert len(BLOCKS) > 9


@pytest.mark.parametrize("block", BLOCKS)
def test_a_command_of_a_guide(production: Stack, block: str) -> None:
    with somebody(production, "jane") as jane:  # whom the examples name
        jane.http.get("/api/v1/me").raise_for_status()
    script = ADMIN + block.replace("docker compose exec ", "docker compose exec -T ")  # there is no terminal here
    done = subprocess.run(["bash", "-euc", script], cwd=ROOT / "deployment", env=production.variables(), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False,
                          timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stdout
