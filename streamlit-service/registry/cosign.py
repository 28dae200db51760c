"""cosign: signs digests in a registry and verifies them.

The one file that runs it (Sigstore's cosign 2.x).

Keys of one's own, no public transparency log: closed networks reach none.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from portal.core.errors import Conflict, EngineError, PortalError
from portal.core.settings import Settings

DEADLINE_S = 60
UNSIGNED, OTHER_KEY = 10, 12
"""Exit codes of `cosign verify`: no signature at all; none by this key."""
NO_SIGNATURE = ("no signatures found", "MANIFEST_UNKNOWN", "manifest unknown", "NAME_UNKNOWN")


def verify(settings: Settings, reference: str, image: str, version: str) -> None:
    """Raise Conflict unless the digest is signed by our key as this image and version.

    Raises EngineError when the registry does not answer.
    """
    key = settings.signature_key_file
    if key is None or not key.exists():
        raise Conflict(
            "no_signature_key",
            "The portal has no key to check images with.",
            f"Tell {settings.help_contact}: PORTAL_SIGNATURE_KEY_FILE is not set.",
        )
    code, output = _run(
        settings,
        [
            "verify",
            "--key",
            str(key),
            "--insecure-ignore-tlog=true",
            "--output",
            "json",
            *_claims(image, version),
            settings.registry.for_services(reference),
        ],
    )
    if code:
        raise _refusal(settings, code, output, f"{image} {version}")


def sign(settings: Settings, reference: str, image: str, version: str) -> None:
    """Sign the digest as this image and version. Raises EngineError."""
    _private(
        settings,
        [
            "sign",
            "--yes",
            "--tlog-upload=false",
            *_claims(image, version),
            settings.registry.for_services(reference),
        ],
        "signing failed",
    )


def attest(settings: Settings, reference: str, kind: str, predicate: Path) -> None:
    """Attach a signed statement, in place of an earlier one of its kind.

    `kind`: "cyclonedx", or a URI of our own.
    """
    _private(
        settings,
        [
            "attest",
            "--yes",
            "--tlog-upload=false",
            "--replace",
            "--type",
            kind,
            "--predicate",
            str(predicate),
            settings.registry.for_services(reference),
        ],
        "attesting failed",
    )


def copy(settings: Settings, source: str, target: str) -> None:
    """Copy an image by digest to another registry, with its signatures and attestations.

    Raises EngineError.
    """
    code, output = _run(settings, ["copy", "--force", source, target], deadline_s=1800)
    if code:
        raise EngineError(
            "copy_failed",
            f"{source} could not be copied to {target}: {_last(output)}",
            "Check the address, the credentials and the registry's authority.",
            output,
        )


def version(settings: Settings) -> str:
    """Cosign's own version."""
    _, output = _run(settings, ["version", "--json"])
    if "{" not in output:
        return ""
    return str(json.loads(output[output.index("{") :]).get("gitVersion", ""))


def _claims(image: str, version: str) -> list[str]:
    """Signed along: a signature for one image does not make the same digest good as another."""
    return ["-a", f"image={image}", "-a", f"version={version}"]


def _private(settings: Settings, arguments: list[str], what: str) -> None:
    key, password = settings.signing_key_file, settings.signing_password_file
    if key is None or not key.exists():
        raise Conflict(
            "no_signing_key", "There is no key to sign with.", "Set PORTAL_SIGNING_KEY_FILE."
        )
    secret = password.read_text(encoding="utf-8").strip() if password else ""
    # The first word is the command; cosign reads the password from its environment.
    code, output = _run(
        settings, [arguments[0], "--key", str(key), *arguments[1:]], {"COSIGN_PASSWORD": secret}
    )
    if code:
        raise EngineError(
            "not_signed",
            f"{what}: {_last(output)}",
            "Check the signing key, its password and the registry.",
            output,
        )


def _refusal(settings: Settings, code: int, output: str, name: str) -> PortalError:
    hint = f"Tell {settings.help_contact}; choose another release meanwhile."
    if code == UNSIGNED or any(sign in output for sign in NO_SIGNATURE):
        return Conflict("unsigned", f"{name} is not signed.", hint, output)
    if code == OTHER_KEY or "no matching signatures" in output or "invalid signature" in output:
        return Conflict(
            "signed_by_another",
            f"{name} is signed, but not with this portal's key as {name}.",
            hint,
            output,
        )
    return EngineError(
        "signature_unknown",
        f"The signature of {name} cannot be checked: the registry does not answer.",
        f"Try again in a minute; if this persists, tell {settings.help_contact}.",
        output,
    )


def _run(
    settings: Settings,
    arguments: list[str],
    more: Mapping[str, str] | None = None,
    deadline_s: float = DEADLINE_S,
) -> tuple[int, str]:
    with _home(settings) as home:
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": home,
            "DOCKER_CONFIG": home,
            **(more or {}),
        }
        if settings.registry_ca_file:
            environment["SSL_CERT_FILE"] = str(settings.registry_ca_file)
        try:
            done = subprocess.run(
                ["cosign", *arguments],
                env=environment,
                capture_output=True,
                text=True,
                timeout=deadline_s,
                check=False,
            )
        except FileNotFoundError as error:
            raise EngineError(
                "no_cosign", "cosign is not installed.", "Use the portal's own image."
            ) from error
        except subprocess.TimeoutExpired as error:
            raise EngineError(
                "registry_slow",
                f"The registry did not answer within {deadline_s:g} s.",
                "Try again in a minute.",
            ) from error
    return done.returncode, done.stdout + done.stderr


@contextmanager
def _home(settings: Settings) -> Iterator[str]:
    """A private folder with the registries' credentials: never arguments, never the environment.

    Those of the user's own `docker login` go along, for mirroring from other registries.
    """
    own = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker")) / "config.json"
    config = json.loads(own.read_text()) if own.exists() else {}
    auths = dict(config.get("auths", {}))
    for host in settings.registry.hosts:
        if login := settings.registry.login(host):
            auths[host] = {"auth": base64.b64encode(":".join(login).encode()).decode()}
    with tempfile.TemporaryDirectory(prefix="cosign-") as home:
        file = Path(home) / "config.json"
        file.touch(0o600)
        file.write_text(json.dumps({"auths": auths}))
        yield home


def _last(output: str) -> str:
    lines = [line for line in output.strip().splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it printed nothing"
