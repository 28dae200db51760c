"""`make demo`: the whole portal on this machine, and the main job done once as proof."""

from __future__ import annotations

import json
import shutil
import ssl
import sys
import time

import docker
import httpx2
import pki
import stack as stacks
from demo_secrets import PEOPLE
from stack import ROOT, Stack

PROOF = "demo-notebook"
READY_S = 240.0


def demo_stack() -> Stack:
    """The demo's fixed interface: localhost:8443, ports from 10000, .demo/."""
    return Stack(home=ROOT / ".demo", project="container-portal")


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
    if stack.make_secrets():
        say("Made a demo CA and certificates for Jane, John and an administrator.")
    stacks.build_services(say)
    stack.make_signing_key()
    say("Starting proxy, api, ui, worker and registry ...")
    stack.up()
    say("Publishing ml-cpu: build, tests, scan, push, signature; then approving it ...")
    reference = stack.publish("ml-cpu", say=say)
    stack.admin(
        "vm",
        "add",
        "this-machine",
        "--engine",
        "unix:///var/run/docker.sock",
        "--address",
        stack.gateway,
    )
    say("Now the main job: Jane deploys ml-cpu with her certificate ...")
    with client(stack, "jane") as http:
        url = deploy(http, reference.partition("@")[2], say)
        answer = http.get(f"{url}api")
        answer.raise_for_status()
    say(f"Jupyter Server {answer.json()['version']} answers Jane at {url}")
    print(
        NEXT_STEPS.format(url=stack.url, certs=stack.certs, password=pki.P12_PASSWORD, jupyter=url)
    )


def client(stack: Stack, person: str) -> httpx2.Client:
    """An HTTPS client with a person's certificate, trusting the demo CA only."""
    context = ssl.create_default_context(cafile=str(stack.certs / "ca.crt"))
    context.load_cert_chain(stack.certs / f"{person}.crt", stack.certs / f"{person}.key")
    return httpx2.Client(base_url=stack.url, verify=context, timeout=30, trust_env=False)


def deploy(http: httpx2.Client, digest: str, say: Progress) -> str:
    """Deploy, or find what an earlier run deployed; follow it; return the Jupyter address."""
    found = [
        d for d in http.get("/api/v1/deployments").raise_for_status().json() if d["name"] == PROOF
    ]
    existing = [d for d in found if d["digest"] == digest]
    for old in (d for d in found if d["digest"] != digest):
        say("  removing the notebook of an earlier release (its home folder stays) ...")
        http.delete(f"/api/v1/deployments/{old['id']}").raise_for_status()
        follow(http, old["id"], say, until="removed")
    if existing:
        deployment = existing[0]
        if deployment["state"] in ("stopped", "failed"):
            http.post(f"/api/v1/deployments/{deployment['id']}/start").raise_for_status()
    else:
        body = {"image": "ml-cpu", "name": PROOF, "gpus": 0, "memory_gb": 2, "cpus": 1}
        answer = http.post("/api/v1/deployments", json=body)
        if answer.is_error:
            raise SystemExit(f"error: {answer.json()['message']} {answer.json()['hint']}")
        deployment = answer.json()
    return follow(http, deployment["id"], say)


def follow(http: httpx2.Client, deployment_id: str, say: Progress, until: str = "running") -> str:
    """Print every new state until it runs (or is removed).

    SystemExit with the reason when it fails.
    """
    last = ""
    with http.stream(
        "GET", f"/api/v1/deployments/{deployment_id}/events", timeout=READY_S
    ) as events:
        for line in events.iter_lines():
            if not line.startswith("data: "):
                continue
            now = json.loads(line.removeprefix("data: "))
            if now["state"] != last:
                last = now["state"]
                say(f"  {last}")
            if last == "failed":
                raise SystemExit(f"error: {now['error']['message']} {now['error']['hint']}")
            if last == until:
                return str(now["urls"].get("jupyter", ""))
    raise SystemExit(f"error: the deployment is {last}, not running")


def down() -> None:
    """Stop everything the demo started: the portal, and the containers it deployed.

    Data is kept.
    """
    stack, say = demo_stack(), Progress()
    if not (stack.home / "authority.pem").exists():
        say("No demo was started here.")
        return
    say("Stopping the portal ...")  # first: a worker that is there would start the next in line
    stack.down()
    label = f"org.container-portal.instance={stack.url}"
    for container in docker.from_env().containers.list(all=True, filters={"label": label}):
        say(f"Stopping and removing container {container.name} ...")
        container.remove(force=True)
    for network in docker.from_env().networks.list(filters={"label": label}):
        network.remove()  # people's own; the worker, which does it otherwise, is gone
    say(
        "Nothing of the demo is running. Kept: .demo/ (certificates), "
        "volumes (database, registry, home folders)."
    )


def clean() -> None:
    """Stop the demo and delete what it made: certificates, database, registry, home folders."""
    people = [subject.split("@")[0] for _, subject in PEOPLE.values()]
    print(
        "This deletes the demo's certificates, database, images and "
        "the home folders of Jane, John and Alex."
    )
    if input("Type yes to go on: ") != "yes":
        raise SystemExit("Nothing was deleted.")
    down()
    stack = demo_stack()
    if stack.home.exists():
        stack.down(volumes=True)
        shutil.rmtree(stack.home)
    for volume in docker.from_env().volumes.list():
        if volume.name.startswith("portal-home-") and volume.name.rsplit("-", 1)[1] in people:
            volume.remove()
    print("Everything of the demo is deleted. The images stay; docker image prune -a removes them.")


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

Stop it with   make demo-down      (make demo-clean also deletes its data)
"""

if __name__ == "__main__":
    try:
        {"up": up, "down": down, "clean": clean}[sys.argv[1]]()
    except stacks.StackError as failed:
        raise SystemExit(f"error: {failed}") from None
