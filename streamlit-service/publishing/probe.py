"""A running container of an image under test, and commands in it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import docker
from docker.models.containers import Container

from publishing.workspace import Refused, Workspace

READY_S = 120
CHECK_S = "300"
POLL_S = 0.3
SERVER = "/opt/venv/bin/python"


@dataclass(frozen=True)
class Probe:
    """A running container under test."""

    workspace: Workspace
    container: Container
    token: str
    key: str

    def run(self, *command: str) -> str:
        """Run a command in it as its user. Raises Refused with what it said."""
        code, raw = self.container.exec_run(["timeout", CHECK_S, *command])
        output = bytes(raw).decode(errors="replace").strip()  # type: ignore[arg-type]
        if code:
            raise Refused(
                "test_failed",
                f"{' '.join(command)[:120]} ended with {code}: {output[-1500:]}",
                "Fix the image.",
            )
        return output

    def python(self, code: str, interpreter: str = SERVER) -> str:
        """Run Python code in it."""
        return self.run(interpreter, "-c", code)

    def until(self, code: str, what: str) -> str:
        """Repeat a check until it passes. Raises Refused after READY_S."""
        deadline = time.monotonic() + READY_S
        while True:
            try:
                return self.python(code)
            except (Refused, docker.errors.APIError) as error:
                self.container.reload()
                if time.monotonic() < deadline and self.container.status == "running":
                    time.sleep(POLL_S)
                    continue
                log = self.container.logs(tail=25).decode(errors="replace")
                raise Refused(
                    "test_failed",
                    f"{what}: {error}\nThe container's log:\n{log}",
                    "Its log is above: mend the image, or what its image.yaml expects.",
                ) from error
