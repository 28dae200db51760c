"""An image's layers, built beside other work, so that publishing finds them in the cache.

Of the standard library alone, for `make demo`.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from types import TracebackType
from typing import Self

import builds
from builds import ROOT, StackError
from publishing.context import context_of


def build_ahead(
    image: str, started: Callable[[subprocess.Popen[bytes]], None] = lambda _: None
) -> None:
    """With the builder that publishing uses, from the same context. Raises StackError.

    `started` is given the running build, which it may end.
    """
    bases = builds.bases_of(image)
    builds.ensure_images(bases[0])
    base = builds.local_base(bases[0])
    tag = f"container-portal-ahead/{image}"
    with subprocess.Popen(
        ["docker", "build", "--quiet", "--tag", tag, "--build-arg", f"BASE_IMAGE={base}", "-"],
        env={**os.environ, **builds.CLASSIC},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as build:
        started(build)
        context = context_of(ROOT / "images" / image, builds.HOST_CAS).getvalue()
        _, problems = build.communicate(context)
    if build.returncode:
        raise StackError(f"building {image} failed: {problems.decode()[-4000:]}")


class Ahead:
    """Such a build beside what its `with` block does; when that fails nobody waits for it."""

    def __init__(self, image: str) -> None:
        self._builds: list[subprocess.Popen[bytes]] = []
        self._given_up = False
        self._work: Future[None] = Future()
        threading.Thread(target=self._run, args=(image,), daemon=True).start()

    def _run(self, image: str) -> None:
        try:
            build_ahead(image, self._started)
        except BaseException as failure:  # wait() raises it
            self._work.set_exception(failure)
        else:
            self._work.set_result(None)

    def _started(self, build: subprocess.Popen[bytes]) -> None:
        self._builds.append(build)
        if self._given_up:
            build.terminate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if failure is not None:
            self._given_up = True
            for build in self._builds:
                build.terminate()

    def wait(self, still: Callable[[], None]) -> None:
        """Wait for its end; raises what it failed with. `still` is called every 10 s."""
        waited_s = 1.0
        while not wait_for([self._work], timeout=waited_s).done:
            still()
            waited_s = builds.TELL_EVERY_S
        self._work.result()
