"""How things are worded: times, sizes, states. Pure, so that tests hold the wording."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from portal.core.models import Deployment, LayerProgress, Order, Release, State, StopReason
from portal.core.resources import Resources
from portal.deployments import Preview
from portal.images import Ready
from portal.scheduling import admission
from portal.vms.health import Problem

STATE_WORDS: dict[State, tuple[str, str, str]] = {
    State.WAITING: ("In the queue", "hourglass_top", "violet"),
    State.PENDING: ("Reserved", "hourglass_top", "blue"),
    State.PULLING: ("Downloading", "downloading", "blue"),
    State.STARTING: ("Starting", "hourglass_top", "blue"),
    State.RUNNING: ("Running", "check_circle", "green"),
    State.STOPPING: ("Stopping", "hourglass_bottom", "orange"),
    State.STOPPED: ("Stopped", "stop_circle", "gray"),
    State.REMOVING: ("Removing", "hourglass_bottom", "orange"),
    State.REMOVED: ("Removed", "delete", "gray"),
    State.FAILED: ("Failed", "error", "red"),
}
"""Word, icon, colour: never colour alone."""

ESTIMATE_AFTER_S = 2.0  # before that the speed is a guess
STEPS = ("Reserved", "Downloading", "Starting", "Notebook answers")
_STEP_OF = {State.PENDING: 0, State.PULLING: 1, State.STARTING: 2}

STOP_WORDS = {
    StopReason.USER: "You stopped it.",
    StopReason.ADMIN: "An administrator stopped it.",
    StopReason.OUT_OF_MEMORY: "It ran out of memory. Deploy it again with more memory.",
    StopReason.EXIT_CODE: "Its notebook server stopped on its own. The log says why.",
    StopReason.CONTAINER_GONE: (
        "The container vanished from the VM. Start makes it anew; the home folder is kept."
    ),
    StopReason.VM_RESTARTED: "Its VM, or Docker on it, was restarted.",
    StopReason.VM_LOST: "Its VM is lost, and an administrator gave it up.",
    StopReason.NOT_WANTED: "It was started on the VM by hand, and stopped again. Start it here.",
}


def badge(state: State) -> str:
    """The state as coloured Markdown with its icon."""
    word, icon, colour = STATE_WORDS[state]
    return f":{colour}-badge[:material/{icon}: {word}]"


def steps(state: State) -> str:
    """The way to a notebook, with where it is now."""
    now = _STEP_OF[state]
    marks = [
        ":material/check:" if i < now else ":material/pending:" if i == now else ":material/circle:"
        for i in range(len(STEPS))
    ]
    return " → ".join(
        f"**{mark} {step}**" if i == now else f"{mark} {step}"
        for i, (mark, step) in enumerate(zip(marks, STEPS, strict=True))
    )


def ago(then: datetime, now: datetime) -> str:
    """Relative time: "just now", "12 min ago", "3 h ago", "2 days ago"."""
    seconds = max((now - then).total_seconds(), 0)
    if seconds < 10:
        return "just now"
    if seconds < 60:
        return f"{seconds:.0f} s ago"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    if seconds < 86_400:
        return f"{seconds // 3600:.0f} h ago"
    return f"{plural(int(seconds // 86_400), 'day')} ago"


def zone(name: str | None) -> ZoneInfo:
    """The time zone of this name; UTC where there is none, which times then show."""
    try:
        return ZoneInfo(name or "UTC")
    except (OSError, ValueError, ZoneInfoNotFoundError):  # a folder's name, a path, unknown
        return ZoneInfo("UTC")


def absolute(then: datetime, zone: ZoneInfo) -> str:
    """The moment itself, in the viewer's zone."""
    return then.astimezone(zone).strftime("%a %d %b %Y, %H:%M:%S %Z")


def plural(count: int, noun: str) -> str:
    """1 day, 2 days."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def amount(count: float, noun: str) -> str:
    """0.5 CPUs, 1 CPU, 2 CPUs."""
    return f"{count:g} {noun}" if count == 1 else f"{count:g} {noun}s"


def size(count: float) -> str:
    """Bytes in GB with one digit, or whole MB below one GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def hours(count: float) -> str:
    """Hours with one digit below 100, with thousands apart."""
    return f"{count:,.1f}" if count < 100 else f"{count:,.0f}"


def download(layers: tuple[LayerProgress, ...], seconds: float) -> tuple[float, str]:
    """How far a pull is after so many seconds: (share done, words with the time left).

    The total grows while the registry still tells sizes.
    """
    done, total = sum(layer.current for layer in layers), sum(layer.total for layer in layers)
    if total == 0:
        return 0.0, "Asking the registry for the image …"
    if done >= total:
        return 1.0, f"Downloaded {size(total)}; unpacking …"
    text = f"{size(done)} of {size(total)}"
    if seconds >= ESTIMATE_AFTER_S and done:
        text += f" · {left((total - done) * seconds / done)}"
    return done / total, text


def layer(progress: LayerProgress) -> tuple[float, str]:
    """One layer: (share done, words).

    What the VM has already counts as done, not as nothing of nothing.
    """
    if progress.total == 0:
        there = progress.status == "Already exists"
        return float(there), f"{progress.layer} · {progress.status or 'waiting'}"
    bytes_of_bytes = f"{size(progress.current)} of {size(progress.total)}"
    share = min(progress.current / progress.total, 1.0)
    return share, f"{progress.layer} · {progress.status} · {bytes_of_bytes}"


def left(seconds: float) -> str:
    """A rough estimate: "a few seconds left", "about 40 s left", "about 3 min left"."""
    if seconds < 10:
        return "a few seconds left"
    if seconds < 90:
        return f"about {round(seconds, -1):.0f} s left"
    return f"about {seconds / 60:.0f} min left"


def could_have(most: Resources) -> str:
    """What is left for an order."""
    return (
        f"You could have up to {plural(int(most.gpus), 'GPU')}, {most.memory_gb:g} GB and "
        f"{amount(most.cpus, 'CPU')} now."
    )


def would_start(ahead: Preview, order: Order) -> str:
    """What Deploy would do now."""
    assert ahead.vm is not None
    gpus = f" with {plural(order.gpus, 'GPU')}" if order.gpus else ""
    home = "Your home folder on this VM is kept when the container is removed."
    if ahead.home_elsewhere:
        home = (
            f"It starts with a new home folder: yours is on {ahead.home_elsewhere}, "
            "where there is no room now."
        )
    return (
        f"Starts on **{ahead.vm.name}**{gpus}: {ahead.why}. JupyterLab on port"
        f" {ahead.jupyter_port}. {home}"
    )


def would_wait(ahead: Preview) -> str:
    """What Deploy would do when there is no room."""
    return (
        f"You would be **number {ahead.position}** in the queue, and it starts automatically when"
        f" its turn comes. It waits for: {ahead.waits_for}."
    )


def queued(deployment: Deployment) -> str:
    """A place in the queue and what it waits for."""
    if deployment.impossible_since is not None:
        return (
            f"**It cannot start now.** It waits for: {deployment.waits_for}. If that stays so for"
            f" {admission.IMPOSSIBLE_FOR.total_seconds() / 60:g} minutes, the wait ends."
        )
    if not deployment.position:
        return f"**On hold.** It waits for: {deployment.waits_for}."
    return (
        f"**Number {deployment.position} in the queue.** It will start automatically; you need not"
        f" stay here. It waits for: {deployment.waits_for}."
    )


def verdict(release: Release) -> str:
    """What the last scan says, short."""
    if release.scanned_at is None:
        return "never scanned"
    if release.refused_for:
        return f"refused: {release.problem}"
    return f"passed, {plural(release.waived, 'finding')} waived" if release.waived else "passed"


def ready(ready: Ready | None, release: Release) -> str:
    """Whether the image is on one's VMs, or what is to be downloaded first."""
    size_text = (
        f"{size(release.download_bytes)} to download"
        if release.download_bytes
        else "downloads first"
    )
    if ready is None or ready.vms == 0:
        return f":material/cloud_download: {size_text} at the first start"
    if ready.vms == ready.of:
        return ":material/bolt: Ready on your VM" + ("s" if ready.of > 1 else "")
    return f":material/bolt: Ready on {', '.join(ready.names[:3])}; elsewhere {size_text}"


def added(at: str, now: datetime) -> str:
    """When a key was added."""
    return ago(datetime.fromisoformat(at), now)


def pkcs11_module(agent: str) -> str:
    """Where OpenSC's module is on the system that a browser says it runs on."""
    if "Windows" in agent:
        return r'"C:\Program Files\OpenSC Project\OpenSC\pkcs11\opensc-pkcs11.dll"'
    if "Mac OS" in agent:
        return "/usr/local/lib/opensc-pkcs11.so"
    return "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so"


def ssh_config(name: str, command: str, module: str) -> str:
    """A block for ~/.ssh/config (ssh_config(5)); a key that was added works with it, too."""
    _, _, port, target = command.split()
    user, _, host = target.partition("@")
    lines = [
        f"Host {name}",
        f"    HostName {host}",
        f"    Port {port}",
        f"    User {user}",
        f"    PKCS11Provider {module}",
        "    ServerAliveInterval 30",
    ]
    return "\n".join(lines)


def why(deployment: Deployment) -> str:
    """Why it is not running, when it stopped."""
    words = STOP_WORDS[deployment.stop_reason] if deployment.stop_reason else "It is stopped."
    return f"{words} They say: “{deployment.stop_note}”" if deployment.stop_note else words


def trouble(deployment: Deployment, now: datetime) -> str:
    """What keeps it waiting or went wrong in it, since when, and what to do; "" for nothing."""
    trouble = deployment.trouble
    if trouble is None:
        return ""
    when = ago(trouble.since, now)
    tries = "" if deployment.state is State.RUNNING else "; the portal goes on trying"
    return f"**{trouble.message}** First seen {when}{tries}. {trouble.hint}"


def with_command(problem: Problem) -> str:
    """A VM's problem and the command that fixes it."""
    where = "Run on the portal's machine" if problem.from_portal else "Run there"
    return f"{problem.message} {where}: `{problem.hint}`"
