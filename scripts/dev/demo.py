"""`make demo`: the whole portal on this machine, and the main job done once as proof.

Of the standard library alone: nobody installs packages to look at the portal.
"""

from __future__ import annotations

import json
import shutil
import sys
import time

import builds
from ahead import Ahead
from builds import ROOT, StackError
from person import Person
from stack import Stack

NAME = "demo-notebook"
PASSWORD = "demo"  # noqa: S105  (of the certificates that are made; printed below)
FIRST_MINUTES = 4


def demo_stack() -> Stack:
    """The demo's fixed interface: localhost:8443, ports from 10000, .demo/."""
    files: tuple[str, ...] = ("docker-compose.yml",)
    if builds.has_no_host_network():
        files += ("docker-compose.published.yml",)
    return Stack(home=ROOT / ".demo", project="container-portal", files=files)


class Progress:
    """Time-stamped steps."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, text: str) -> None:
        """Print one step."""
        print(f"{time.monotonic() - self._start:4.0f}s  {text}", flush=True)


def up() -> None:
    """Build, start, publish, register, deploy as Jane, and say what to do next."""
    say, stack = Progress(), demo_stack()
    first = not stack.is_made()
    if first:
        say(f"The first time this takes about {FIRST_MINUTES} minutes, later only a few seconds.")
    with Ahead("ml-cpu") as layers:
        builds.build_services(say)
        if stack.make_secrets():
            say("Made a demo CA and certificates for Jane, John, Mei and an administrator.")
        say("Starting proxy, authz, api, ui, worker and registry ...")
        stack.up()
        layers.wait(lambda: say("Still building ml-cpu's layers ..."))
    say("Publishing ml-cpu: build, tests, scan, push, signature; then approving it (a minute) ...")
    reference = stack.publish("ml-cpu", say=say)
    engine, address = "unix:///var/run/docker.sock", stack.gateway
    stack.admin("vm", "add", "this-machine", "--engine", engine, "--address", address)
    say("Now the main job: Jane deploys ml-cpu with her certificate ...")
    jane = Person(stack.url, stack.certs, "jane")
    url = deploy(jane, reference.partition("@")[2], say)
    version = jane.get(f"{url}api")["version"]
    say(f"Jupyter Server {version} answers Jane at {url}")
    values = {"url": stack.url, "certs": stack.certs, "settings": stack.write_variables()}
    print(NEXT_STEPS.format(**values, password=PASSWORD, jupyter=url))


def deploy(jane: Person, digest: str, say: Progress) -> str:
    """Deploy, or find what an earlier run deployed; follow it; return the Jupyter address."""
    known = [each for each in jane.get("/api/v1/deployments") if each["name"] == NAME]
    existing = [each for each in known if each["digest"] == digest]
    for old in (each for each in known if each["digest"] != digest):
        say("  removing the notebook of an earlier release (its home folder stays) ...")
        jane.delete(f"/api/v1/deployments/{old['id']}")
        follow(jane, old["id"], say, until="removed")
    if existing:
        deployment = existing[0]
        if deployment["state"] in ("stopped", "failed"):
            jane.post(f"/api/v1/deployments/{deployment['id']}/start")
    else:
        order = {"image": "ml-cpu", "name": NAME, "gpus": 0, "memory_gb": 2, "cpus": 1}
        deployment = jane.post("/api/v1/deployments", order)
    return follow(jane, deployment["id"], say)


def follow(jane: Person, deployment_id: str, say: Progress, until: str = "running") -> str:
    """Print every new state until it runs (or is removed).

    StackError with the reason when it fails.
    """
    last = ""
    for line in jane.lines(f"/api/v1/deployments/{deployment_id}/events"):
        if not line.startswith("data: "):
            continue
        now = json.loads(line.removeprefix("data: "))
        if now["state"] != last:
            last = now["state"]
            say(f"  {last}")
        if last == "failed":
            raise StackError(f"{now['error']['message']} {now['error']['hint']}")
        if last == until:
            return str(now["urls"].get("jupyter", ""))
    raise StackError(f"the deployment is {last}, not running")


def down() -> None:
    """Stop everything the demo started: the portal, and the containers it deployed.

    Data is kept.
    """
    stack, say = demo_stack(), Progress()
    if not stack.is_made():
        say("No demo was started here.")
        return
    _stop(stack, say, homes=False)
    say(
        "The demo is stopped. Kept: .demo/ (certificates), "
        "volumes (database, registry, home folders)."
    )


def _stop(stack: Stack, say: Progress, *, homes: bool) -> None:
    say("Stopping the portal ...")
    stack.down()
    stack.remove_what_users_had(homes=homes, say=say)


def clean() -> None:
    """Stop the demo and delete what it made: certificates, database, registry, home folders."""
    stack = demo_stack()
    print(
        "This deletes the demo's certificates, database, images, and the home folders of everybody"
        f" at {stack.url} on this machine."
    )
    try:
        answer = input("Type yes to go on: ")
    except EOFError:  # nobody is there to ask
        answer = ""
    if answer != "yes":
        raise SystemExit("Nothing was deleted.")
    if stack.is_made():
        _stop(stack, Progress(), homes=True)
    stack.down(volumes=True)
    shutil.rmtree(stack.home)
    print("The demo is deleted. Its images are kept; docker image prune -a removes them.")


NEXT_STEPS = """
The portal is running.

  Portal         {url}
  JupyterLab     {jupyter}   (deployed a moment ago, as Jane)
  Certificates   {certs}/jane.p12, john.p12, mei.p12 (curator), admin.p12   password: {password}

What to do next
  1. Import jane.p12 into your browser, and trust ca.crt:
       Firefox   Settings > Privacy & Security > View Certificates > Your Certificates > Import
                 (ca.crt: the Authorities tab, "identify websites")
       Chrome    Settings > Privacy and security > Security > Manage certificates > Import
       macOS     open jane.p12 and ca.crt in Keychain Access
     These are demo certificates: remove them again when you are done.
  2. Open {url} and choose the certificate DOE.JANE.Q.1234567890.
  3. Or without a browser:
       curl --cacert {certs}/ca.crt --cert {certs}/jane.crt --key {certs}/jane.key \\
         {url}/api/v1/deployments
  4. As admin.p12 (or mei.p12), for the commands in the guides, in the folder deployment/:
       . {settings}

Stop it with   make demo-down      (make demo-clean also deletes its data)
"""

if __name__ == "__main__":
    try:
        {"up": up, "down": down, "clean": clean}[sys.argv[1]]()
    except StackError as failed:
        raise SystemExit(f"error: {failed}") from None
