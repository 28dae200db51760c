"""The first steps: hadolint on the Dockerfile, the pinned base, the build."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import docker
from engine.pull import PullError, layers_of
from portal.core.errors import EngineError

from publishing import tools
from publishing.context import context_of
from publishing.workspace import Refused, Workspace

LABEL_STANDIN = "org.container-portal.standin"
TELL_EVERY_S = 10
LINT_S = 60
FROM = re.compile(r"^FROM\s+(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE | re.MULTILINE)
IGNORED_RULES = ("DL3008", "DL3013", "DL3042")
"""Pinning is left to the security archive (apt) and the lock's hashes (pip)."""


def lint(workspace: Workspace) -> None:
    """Run hadolint. Raises Refused with what it found."""
    path = workspace.folder / workspace.build.dockerfile
    ignored = [word for rule in IGNORED_RULES for word in ("--ignore", rule)]
    done = tools.run("hadolint", *ignored, "--no-color", str(path), deadline_s=LINT_S)
    if done.returncode:
        raise Refused(
            "lint",
            f"hadolint refuses {workspace.build.dockerfile}:\n{done.stdout}{done.stderr}",
            "Fix it, or ignore the rule in the file with a reason.",
        )
    _check_bases(workspace, path.read_text(encoding="utf-8"))
    workspace.say("hadolint finds nothing")


def _check_bases(workspace: Workspace, text: str) -> None:
    """Refuse a stage not built on the pinned base, and labels that only bases may set."""
    name, sources = workspace.build.dockerfile, FROM.findall(text)
    stages = {"${BASE_IMAGE}", *(stage for _, stage in sources if stage)}
    if stray := [source for source, _ in sources if source not in stages]:
        raise Refused(
            "unpinned_base",
            f"{name} also builds on {', '.join(stray)}.",
            "Begin every stage FROM ${BASE_IMAGE}, or from a stage before.",
        )
    if LABEL_STANDIN in text:
        raise Refused(
            "standin_label",
            f"{name} sets {LABEL_STANDIN}, which only bases may.",
            "Take the line out.",
        )
    if f"ARG BASE_IMAGE={workspace.build.base}\n" not in text:
        raise Refused(
            "base_differs",
            f"{name} does not say ARG BASE_IMAGE={workspace.build.base}.",
            "image.yaml and Dockerfile must name the same base.",
        )


def ensure_base(workspace: Workspace) -> str:
    """The base to build on: by digest, pulled if need be; in a demo, a labelled stand-in."""
    pinned, tag = workspace.build.base, workspace.build.base_tag
    if _present(workspace, pinned):
        return pinned
    workspace.say(f"pulling the base {pinned}")
    cause = _pull(workspace, pinned)
    if not cause:
        return pinned
    standin = _labels(workspace, tag).get(LABEL_STANDIN) == "true"
    if not (standin and workspace.settings.allow_standins):
        raise EngineError(
            "no_base",
            f"The base {pinned} cannot be pulled: {cause[:200]}",
            "Mirror it into your registry: admin.py image mirror --bases; or check the network.",
            cause,
        )
    workspace.say(f"the base cannot be pulled here; building on the STAND-IN {tag}")
    return tag


def _pull(workspace: Workspace, reference: str) -> str:
    """Pull, telling every 10 s how far it is. Returns why it failed, or ""."""
    last_said_at = time.monotonic()
    try:
        for layers in layers_of(workspace.engine.api.pull(reference, stream=True, decode=True)):
            if time.monotonic() - last_said_at >= TELL_EVERY_S:
                last_said_at = time.monotonic()
                done = sum(layer.current for layer in layers) / 1e9
                total = sum(layer.total for layer in layers) / 1e9
                workspace.say(f"  {done:.1f} of {total:.1f} GB or more")
    except PullError as error:
        return str(error)
    except docker.errors.APIError as error:
        return str(error.explanation or error)
    return ""


def build(workspace: Workspace, base: str) -> None:
    """Build, telling every 10 s at which step it is. Raises Refused with the end of the output."""
    args = {
        "BASE_IMAGE": base,
        "VERSION": workspace.version,
        "REVISION": workspace.content[:12],
        "CREATED": workspace.created_at.isoformat(),
    }
    stream = workspace.engine.api.build(
        fileobj=context_of(workspace.folder, workspace.settings.build_certs_dir),
        custom_context=True,
        tag=workspace.local,
        dockerfile=workspace.build.dockerfile,
        buildargs=args,
        nocache=workspace.fresh,
        rm=True,
        forcerm=True,
        decode=True,
    )
    lines: list[str] = []
    last_said_at, step, cached, steps = time.monotonic(), "", 0, 0
    for entry in stream:
        if "error" in entry:
            raise Refused(
                "build_failed",
                f"The build failed: {entry['error']}\n{''.join(lines)[-3000:]}",
                "The build's output is above. Where certificates are not trusted, a proxy inspects"
                " TLS: put its CA certificate into PORTAL_BUILD_CERTS.",
            )
        text = str(entry.get("stream", ""))
        lines.append(text)
        cached += "Using cache" in text
        if text.startswith("Step "):
            step, steps = text.strip(), steps + 1
        if time.monotonic() - last_said_at >= TELL_EVERY_S:
            last_said_at = time.monotonic()
            workspace.say(f"  {step[:100]}")
    workspace.say(
        f"built {workspace.local}: {steps} steps, {cached} from cache,"
        f" {workspace.built()['Size'] / 1e6:.0f} MB"
    )


def _present(workspace: Workspace, reference: str) -> bool:
    try:
        workspace.engine.images.get(reference)
    except docker.errors.ImageNotFound:
        return False
    return True


def _labels(workspace: Workspace, reference: str) -> dict[str, Any]:
    try:
        config = workspace.engine.images.get(reference).attrs["Config"]
    except docker.errors.ImageNotFound:
        return {}
    return json.loads(json.dumps(config.get("Labels") or {}))  # type: ignore[no-any-return]
