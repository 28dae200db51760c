"""Errors of engines and registries as ours: which failure it is, and what people do next."""

from __future__ import annotations

from portal.core.errors import EngineError, VmUnreachable

ASK = "Tell your administrator; nothing was left behind and your home folder is untouched."

# First match wins. The words are those of Docker Engine 20.10-28, containerd, runc, the NVIDIA
# Container Toolkit and the distribution registry.
_NO_SPACE = ("no space left", "disk quota exceeded")
_BROKEN_DISK = (
    "read-only file system",
    "input/output error",
    "i/o error",
    "structure needs cleaning",
)
_PULL = (
    (_NO_SPACE, "disk_full", "The VM's disk is full; the image could not be downloaded."),
    (
        ("containerd.sock", "docker.sock", "lease does not exist", "content digest"),
        "pull_failed",
        "The VM's Docker Engine could not download the image: {reason}.",
    ),
    (
        ("error getting credentials", "docker-credential-"),
        "registry_refused",
        "The VM's Docker Engine cannot use its password for the registry.",
    ),
    (
        ("proxy authentication required", "proxyconnect"),
        "proxy_refused",
        "The proxy between the VM and the registry does not let the VM through.",
    ),
    (
        ("no matching manifest", "does not match the specified platform", "exec format error"),
        "wrong_platform",
        "This image is not built for the VM's kind of processor.",
    ),
    # Before what registries say: the engine's own disk may deny permission, too.
    (
        (
            "failed to register layer",
            "failed to extract",
            "processing tar",
            *_BROKEN_DISK,
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
            "authorization failed",
            "insufficient_scope",
            "403 forbidden",
            "401 unauthorized",
        ),
        "registry_refused",
        "The registry refused the portal's password.",
    ),
    (
        ("x509", "tls: bad certificate", "tls: unknown certificate"),
        "registry_unreachable",
        "The VM does not trust the registry's certificate: {reason}.",
    ),
    (
        (
            "connection refused",
            "connection reset",
            "connect: permission denied",
            "timed out",
            "host is down",
            "broken pipe",
            "no such host",
            "no route to host",
            "server misbehaving",
            "name resolution",
            "timeout",
            "deadline",
            "tls: ",
            "http response to https client",
            ": eof",
            "unexpected eof",
            "unreachable",
            "toomanyrequests",
            "too many requests",
            "unexpected http status: 5",
            "500 internal server error",
            "502 bad gateway",
            "503 service unavailable",
            "504 gateway",
        ),
        "registry_unreachable",
        "The VM cannot reach the registry.",
    ),
    (("permission denied",), "unpack_failed", "The VM could not unpack the image: {reason}."),
    (
        ("manifest unknown", "not found", "unknown blob", "blob unknown", "name unknown"),
        "image_gone",
        "This release is no longer in the registry.",
    ),
)
_RUN = (
    # Of the kernel, though its words are those of a full disk.
    (
        ("session key", "/sys/fs/cgroup", "inotify"),
        "vm_exhausted",
        "The VM has no memory, processes or files left to start a container.",
    ),
    # containerd's own socket, no port of anybody's.
    (("shim socket",), "engine_refused", "The VM's Docker Engine could not start the container."),
    (
        ("range of cpus is from",),
        "vm_shrunk",
        "The VM has fewer CPUs now than this container was promised.",
    ),
    (_NO_SPACE, "disk_full", "The VM's disk is full."),
    (_BROKEN_DISK, "disk_broken", "The VM's disk cannot be written to."),
    (
        ("failed to allocate gateway",),
        "no_subnet",
        "The VM's Docker Engine has no network left for another user.",
    ),
    (
        ("no chain/target/match by that name",),
        "engine_refused",
        "Docker's firewall rules are gone on the VM; restarting Docker there brings them back.",
    ),
    (
        ("port is already allocated", "address already in use"),
        "port_taken",
        "A port that the container needs is already in use on the VM.",
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
        ("unknown device", "unresolvable cdi devices"),
        "gpu_gone",
        "A GPU that was reserved is no longer there.",
    ),
    (
        ("unsatisfied condition",),
        "driver_old",
        "The VM's NVIDIA driver is too old for this image.",
    ),
    (
        (
            "driver/library version mismatch",
            "driver not loaded",
            "failed to initialize nvml",
            "nvml error",
            "libnvidia-ml",
            "libcuda",
            "nvidia-container-cli: initialization error",
            "nvidia-container-cli: detection error",
            "gpu is lost",
        ),
        "driver_broken",
        "The VM's NVIDIA driver does not answer; it may have been updated without a restart.",
    ),
    (
        (
            "could not select device driver",
            "nvidia-container-runtime-hook",
            "unknown or invalid runtime name",
            "failed to discover gpu vendor",
            "cdi device injection failed: cdi not",
        ),
        "no_toolkit",
        "The VM's Docker Engine cannot hand out GPUs: the NVIDIA Container Toolkit is missing.",
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
    (
        ("cannot allocate memory", "resource temporarily unavailable", "too many open files"),
        "vm_exhausted",
        "The VM has no memory, processes or files left to start a container.",
    ),
    (
        ("exec format error",),
        "wrong_platform",
        "This image is not built for the VM's kind of processor.",
    ),
    (("no such image",), "image_gone", "The image vanished from the VM."),
)


def pull_failed(text: str, reference: str) -> EngineError:
    """The failure of a pull, by what the engine said."""
    code, message = _match(_PULL, text, ("pull_failed", "The image could not be downloaded."))
    # containerd ends with the kind of its error, which says nothing: "…: unknown".
    reason = text.strip().rstrip(".").removesuffix(": unknown").rpartition(": ")[2][:120]
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
