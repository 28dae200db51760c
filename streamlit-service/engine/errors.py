"""Errors of engines and registries as ours: which failure it is, and what people do next."""

from __future__ import annotations

from portal.core.errors import EngineError, VmUnreachable

ASK = "Tell your administrator; nothing was left behind and your home folder is untouched."

# First match wins. The words are those of Docker Engine 20.10-28 and the distribution registry.
_PULL = (
    (
        ("no space left", "disk quota exceeded"),
        "disk_full",
        "The VM's disk is full; the image could not be downloaded.",
    ),
    # Before what registries say: the engine's own disk may deny permission, too.
    (
        (
            "failed to register layer",
            "failed to extract",
            "processing tar",
            "read-only file system",
        ),
        "unpack_failed",
        "The VM could not unpack the image: {reason}.",
    ),
    (
        (
            "unauthorized",
            "authentication required",
            "no basic auth",
            "incorrect username",
            "access denied",
            "denied:",
            "is denied",
            "403 forbidden",
        ),
        "registry_refused",
        "The registry refused the portal's password.",
    ),
    (
        ("manifest unknown", "not found", "unknown blob", "name unknown"),
        "image_gone",
        "This release is no longer in the registry.",
    ),
    (
        (
            "connection refused",
            "no such host",
            "timeout",
            "i/o",
            "deadline",
            "x509",
            "eof",
            "unreachable",
            "unexpected http status: 5",
            "toomanyrequests",
        ),
        "registry_unreachable",
        "The VM cannot reach the registry.",
    ),
)
_RUN = (
    (("no space left",), "disk_full", "The VM's disk is full."),
    (
        ("port is already allocated", "address already in use"),
        "port_taken",
        "A port is in use on the VM.",
    ),
    (
        ("is already in use by container",),
        "container_exists",
        "The container is on the VM already.",
    ),
    (
        ("cannot assign requested address",),
        "bad_address",
        "The VM does not have the address it is registered with.",
    ),
    (
        (
            "could not select device driver",
            "nvidia-container-runtime-hook",
            "cdi device injection failed: cdi not",
        ),
        "no_toolkit",
        "The VM's Docker Engine cannot hand out GPUs: the NVIDIA Container Toolkit is missing.",
    ),
    (
        ("unknown device", "unresolvable cdi devices"),
        "gpu_gone",
        "A GPU that was reserved is no longer there.",
    ),
    (
        (
            "non-overlapping ipv4 address pool",
            "could not find an available",
            "all predefined address pools",
        ),
        "no_subnet",
        "The VM's Docker Engine has no network left for another user.",
    ),
    (("no such image",), "image_gone", "The image vanished from the VM."),
)


def pull_failed(text: str, reference: str) -> EngineError:
    """The failure of a pull, by what the engine said."""
    code, message = _match(_PULL, text, ("pull_failed", "The image could not be downloaded."))
    reason = text.strip().rstrip(".").rpartition(": ")[2][:120]
    return EngineError(code, message.format(reason=reason), ASK, cause=f"{reference}: {text}")


def pull_too_slow(limit_s: float, reference: str) -> EngineError:
    """A pull that went over its deadline."""
    message = f"Downloading the image took longer than {limit_s / 60:g} min."
    return EngineError(
        "pull_too_slow", message, "Try again; what was downloaded is kept.", cause=reference
    )


def refused(text: str, vm: str) -> EngineError:
    """The engine answered, and refused."""
    code, message = _match(_RUN, text, ("engine_refused", f"The Docker Engine on {vm} refused."))
    return EngineError(code, message, ASK, cause=f"{vm}: {text}")


def unreachable(vm: str, cause: str) -> VmUnreachable:
    """The engine did not answer in time, or SSH did not let us in."""
    return VmUnreachable(
        "vm_unreachable",
        f"The VM {vm} does not answer.",
        "Try again in a minute; administrators see this too.",
        cause=f"{vm}: {cause}",
    )


def _match(
    table: tuple[tuple[tuple[str, ...], str, str], ...], text: str, default: tuple[str, str]
) -> tuple[str, str]:
    low = text.lower()
    for words, code, message in table:
        if any(word in low for word in words):
            return code, message
    return default
