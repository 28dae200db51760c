"""The first steps: hadolint on the Dockerfile, the pinned base, the build."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import docker
from portal.errors import EngineError

from publishing.bench import Bench, Refused

LABEL_STANDIN = "org.container-portal.standin"
TELL_EVERY_S = 10
LINT_S = 60
IGNORED_RULES = ("DL3008", "DL3013", "DL3042")
"""apt's versions follow the security archive; pip is pinned by hash in the lock and its cache is off by environment."""


def lint(bench: Bench) -> None:
    """Run hadolint. Raises Refused with what it found."""
    path = bench.folder / bench.build.dockerfile
    ignored = [word for rule in IGNORED_RULES for word in ("--ignore", rule)]
    try:
        done = subprocess.run(["hadolint", *ignored, "--no-color", str(path)], capture_output=True, text=True,  # noqa: S603, S607
                              timeout=LINT_S, check=False)  # fmt: skip
    except FileNotFoundError as error:
        raise EngineError("no_hadolint", "hadolint is not installed.", "Use the publisher's own image.") from error
    if done.returncode:
        raise Refused("lint", f"hadolint refuses {bench.build.dockerfile}:\n{done.stdout}{done.stderr}",
                      "Mend it, or ignore the rule in the file with a reason.")  # fmt: skip
    if f"ARG BASE_IMAGE={bench.build.base}\n" not in path.read_text(encoding="utf-8"):
        raise Refused("base_differs", f"{bench.build.dockerfile} does not say ARG BASE_IMAGE={bench.build.base}.",
                      "image.yaml and Dockerfile must name the same base.")  # fmt: skip
    bench.say("hadolint finds nothing")


def ensure_base(bench: Bench) -> str:
    """The base to build on: by digest, pulled if need be; in a demo a labelled stand-in may take its place."""
    pinned, tag = bench.build.base, bench.build.base_tag
    if _present(bench, pinned):
        return pinned
    bench.say(f"pulling the base {pinned}")
    try:
        bench.engine.images.pull(pinned)
        return pinned
    except docker.errors.APIError as error:
        cause = str(error.explanation or error)
    standin = _labels(bench, tag).get(LABEL_STANDIN) == "true"
    if not (standin and bench.settings.demo):
        raise EngineError("no_base", f"The base {pinned} cannot be pulled: {cause[:200]}",
                          "Mirror it into your registry: admin.py image mirror --bases; or check the network.",
                          cause)  # fmt: skip
    bench.say(f"the base cannot be pulled here; building on the STAND-IN {tag}")
    return tag


def build(bench: Bench, base: str) -> None:
    """Build, telling every 10 s at which step it is. Raises Refused with the end of the output."""
    args = {"BASE_IMAGE": base, "VERSION": bench.version, "REVISION": bench.content[:12],
            "CREATED": bench.created_at.isoformat()}  # fmt: skip
    stream = bench.engine.api.build(
        fileobj=_context(bench.folder, bench.settings.build_certs_dir), custom_context=True, tag=bench.local,
        dockerfile=bench.build.dockerfile, buildargs=args, nocache=bench.fresh, rm=True, forcerm=True, decode=True,
    )  # fmt: skip
    lines: list[str] = []
    told, step, cached, steps = time.monotonic(), "", 0, 0
    for entry in stream:
        if "error" in entry:
            raise Refused("build_failed", f"The build failed: {entry['error']}\n{''.join(lines)[-3000:]}", "Mend it.")
        text = str(entry.get("stream", ""))
        lines.append(text)
        cached += "Using cache" in text
        if text.startswith("Step "):
            step, steps = text.strip(), steps + 1
        if time.monotonic() - told >= TELL_EVERY_S:
            told = time.monotonic()
            bench.say(f"  {step[:100]}")
    bench.say(f"built {bench.local}: {steps} steps, {cached} from cache, {bench.built()['Size'] / 1e6:.0f} MB")


def _context(folder: Path, certs: Path | None) -> io.BytesIO:
    """The folder as a tar, with the place's own CAs in certs/ . The same files give the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and path.suffix != ".crt":
                _add(tar, str(inside), path)
        for path in sorted(certs.glob("*.crt")) if certs and certs.is_dir() else []:
            _add(tar, f"certs/{path.name}", path)
    buffer.seek(0)
    return buffer


def _add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    info = tarfile.TarInfo(name)
    info.size = path.stat().st_size
    info.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
    with path.open("rb") as file:
        tar.addfile(info, file)


def _present(bench: Bench, reference: str) -> bool:
    try:
        bench.engine.images.get(reference)
    except docker.errors.ImageNotFound:
        return False
    return True


def _labels(bench: Bench, reference: str) -> dict[str, Any]:
    try:
        config = bench.engine.images.get(reference).attrs["Config"]
    except docker.errors.ImageNotFound:
        return {}
    return json.loads(json.dumps(config.get("Labels") or {}))  # type: ignore[no-any-return]
