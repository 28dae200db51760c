"""The commands of the guides that are marked <!-- runs --> do what they say, in production."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from builds import ROOT
from harness.people import somebody
from stack import Stack

BLOCK = re.compile(r"<!-- runs -->\n```sh\n(.*?)```", re.DOTALL)
GUIDES = [ROOT / "docs" / name for name in ("ADMIN_GUIDE.md", "TROUBLESHOOTING.md")]
BLOCKS = [
    pytest.param(block, id=f"{path.name}: {block.splitlines()[0][:50]}")
    for path in GUIDES
    for block in BLOCK.findall(path.read_text(encoding="utf-8"))
]
ADMIN = 'admin() { docker compose exec -T api python3 admin.py "$@"; }\n'


def test_there_are_such_commands() -> None:
    assert len(BLOCKS) > 9


@pytest.mark.parametrize("block", BLOCKS)
def test_a_command_of_a_guide(production: Stack, block: str) -> None:
    with somebody(production, "jane") as jane:  # whom the examples name
        jane.http.get("/api/v1/me").raise_for_status()
    # There is no terminal here.
    script = ADMIN + block.replace("docker compose exec ", "docker compose exec -T ")
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=ROOT / "deployment",
        env=production.variables(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout


def test_the_secrets_of_the_installation_are_made_as_the_guide_says(
    production: Stack, tmp_path: Path
) -> None:
    """With the certificates that an administrator brings: here the demo authority's."""
    text = (ROOT / "docs" / "ADMIN_GUIDE.md").read_text(encoding="utf-8")
    block = re.search(r"```sh\n(\s*install -d -m 0700 secrets.*?)```", text, re.DOTALL)
    assert block
    given = {
        "people-authorities": "client_ca",
        "registry-authority": "registry_ca",
        "server-chain": "server_cert",
        "server-key": "server_key",
    }
    for name, secret in given.items():
        shutil.copyfile(production.home / "secrets" / secret, tmp_path / f"{name}.pem")
    done = subprocess.run(
        ["bash", "-euc", block[1].replace("/your/", f"{tmp_path}/")],
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    config = json.loads(
        production.compose("--profile", "*", "config", "--format", "json", capture=True)
    )
    wanted = {Path(secret["file"]).name for secret in config["secrets"].values()}
    made = {
        path.name
        for path in (tmp_path / "secrets").iterdir()
        if path.stat().st_size or "hosts" in path.name
    }
    assert wanted <= made
