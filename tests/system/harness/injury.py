"""Faults at random, one after the other, and how long until the portal works again."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import docker
import httpx2
from builds import StackError
from docker.models.containers import Container
from stack import Stack

from harness.fleet import TestVm
from harness.people import Person, wait_until
from harness.services import containers

BACK_S = 180
KILLED = (
    "authz",
    "api",
    "ui",
    "worker",
    "proxy",
    "names",
    "evictor",
    "ssh-door",
    "registry",
    "postgres",
)


@dataclass
class Report:
    """What was broken, and what came of it."""

    recovery_s: list[tuple[str, float]] = field(default_factory=list)
    undisturbed_s: float = 0
    done: int = 0
    in_vain: int = 0
    lost: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        times = [seconds for _, seconds in self.recovery_s]
        counts = {
            word: sum(each.startswith(word) for each in self.troubles)
            for word in ("orphan", "double")
        }
        slowest = max(self.recovery_s, key=lambda each: each[1])[0]
        return (
            f"{len(times)} faults under load: lost {len(self.lost)}, "
            f"orphans {counts['orphan']}, double {counts['double']}, "
            f"other disagreement {len(self.troubles) - sum(counts.values())}; works again after "
            f"p50 {statistics.median(times):.1f} s, at most {max(times):.1f} s ({slowest}), "
            f"undisturbed {self.undisturbed_s:.1f} s; "
            f"{self.done} things done meanwhile, {self.in_vain} tried again"
        )


@contextmanager
def killer() -> Iterator[Callable[[Container], None]]:
    """SIGKILL for a container's first process, from outside: Docker takes it for a crash.

    Its own `docker kill` counts as a stop by hand, after which nothing is restarted.
    """
    helper = docker.from_env().containers.run(
        "container-portal:dev",
        ["sleep", "infinity"],
        entrypoint="",
        user="0",
        pid_mode="host",
        cap_add=["KILL"],
        init=True,
        detach=True,
    )

    def kill(victim: Container) -> None:
        victim.reload()
        code, said = helper.exec_run(["sh", "-c", f"kill -KILL {victim.attrs['State']['Pid']}"])
        assert code == 0, said

    try:
        yield kill
    finally:
        helper.remove(force=True)


def lose_power(vm: TestVm) -> None:
    """And boot again."""
    vm.container.kill()
    vm.container.start()
    vm.wait_for_engine()


def crash_engine(vm: TestVm) -> None:
    """Docker Engine and containerd at once; the engine starts again."""
    vm.run("sh", "-c", "kill -9 $(cat /var/run/docker.pid)")
    vm.run("sh", "-c", "pkill -9 containerd || true")
    vm.start_engine()


def lose_ssh(vm: TestVm) -> None:
    """Refused, then there again."""
    vm.stop_ssh()
    vm.start_ssh()


SILENCE_S = 15.0


def fall_silent(vm: TestVm) -> None:
    """No answer, and no refusal."""
    vm.container.pause()
    try:
        time.sleep(SILENCE_S)  # the fault
    finally:
        vm.container.unpause()


OF_A_VM = {
    "engine crashed": crash_engine,
    "SSH lost": lose_ssh,
    "VM lost power": lose_power,
    "VM silent": fall_silent,
}


def works_again(probe: Person, made: dict[str, object]) -> float:
    """Seconds until a page answers and a restart, asked for now, is done."""
    started = time.monotonic()
    path = f"/api/v1/deployments/{made['id']}"

    def asked() -> bool:
        with suppress(httpx2.HTTPError):
            page = probe.http.get("/containers").status_code
            answer = probe.http.post(f"{path}/restart")
            return page == httpx2.codes.OK and answer.status_code == httpx2.codes.ACCEPTED
        return False

    def done() -> bool:
        with suppress(httpx2.HTTPError, json.JSONDecodeError):
            now = probe.http.get(path).raise_for_status().json()
            url = f"{now['urls'].get('jupyter', '')}api"
            return now["state"] == "running" and probe.http.get(url).status_code == httpx2.codes.OK
        return False

    wait_until(asked, "a restart is accepted", BACK_S)
    wait_until(done, "the notebook answers", BACK_S)
    return time.monotonic() - started


def healthy(system: Stack) -> bool:
    """Whether each service that was killed is well by its own check."""
    with suppress(StackError, docker.errors.NotFound):
        return all(
            each.attrs["State"].get("Health", {}).get("Status", "healthy") == "healthy"
            for service in KILLED
            for each in containers(system, service)
        )
    return False
