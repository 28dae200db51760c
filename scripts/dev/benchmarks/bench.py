"""`make bench`: ratios in one run, medians.

Needs a running `make demo`; uses John, leaves nothing behind.

Each figure has its floor or peer measured in the same run, alternating, on the same machine.
"""

from __future__ import annotations

import logging
import re
import ssl
import subprocess
import time
from collections.abc import Callable
from urllib.parse import quote

import bench_fleet
import bench_images
import bench_operation
import bench_page
import docker
import httpx2
import structlog
from demo import demo_stack
from docker.models.containers import Container
from engine.container import create_arguments
from portal.core.engine import ContainerSpec
from portal.deployments.container_spec import HOME, TMPFS
from rows import Row, row, run, timed
from stack import ROOT, Stack

ROUNDS = 5
JOHN = "edipi:2345678901"
AUTHZ_CALLS = 1000
# Times ROUNDS below 14,000: nginx opens a connection a request, and past half of the ephemeral
# ports in TIME_WAIT the kernel's search for a free one, not the gateway, would be measured.
AB_REQUESTS = 2000
AB_CLIENTS = 8
POLL_S = 0.01
READY_S = 120.0
BASELINE_PORT = 10990
NGINX_TEMP = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def main() -> None:
    """Print the table; exit code 1 when a row failed."""
    # The table is not broken by what the portal's own code logs in this process.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    stack = demo_stack()
    with client(stack, "john") as john:
        rows = run(benchmarks(stack, john, ROUNDS), ROOT / "artifacts" / "bench.json")
    raise SystemExit(any(each.failure for each in rows))


def benchmarks(stack: Stack, john: httpx2.Client, rounds: int) -> dict[str, Callable[[], Row]]:
    """Every row, by name."""
    return {
        "start": lambda: deploy(stack, john, rounds),
        "authz": lambda: authz(stack, john),
        "gateway": lambda: gateway(stack, john, rounds),
        "handover": lambda: handover(stack, john, rounds),
        "page": lambda: page(rounds),
        **bench_images.benchmarks(stack, rounds),
        **bench_fleet.benchmarks(rounds),
        **bench_operation.benchmarks(stack, rounds),
    }


def client(stack: Stack, person: str) -> httpx2.Client:
    """An HTTPS client with a person's certificate, trusting the demo CA only."""
    context = ssl.create_default_context(cafile=str(stack.certs / "ca.crt"))
    context.load_cert_chain(stack.certs / f"{person}.crt", stack.certs / f"{person}.key")
    return httpx2.Client(base_url=stack.url, verify=context, timeout=30, trust_env=False)


def deploy(stack: Stack, john: httpx2.Client, rounds: int) -> Row:
    """POST → Jupyter through the gateway, against the same container by `docker run`."""
    images = john.get("/api/v1/images").raise_for_status().json()
    digest = next(image["digest"] for image in images if image["name"] == "ml-cpu")
    reference = f"{stack.registry_host}/ml-cpu@{digest}"
    ours, plain = [], []
    _portal_run(john, "bench-warm")  # brings the image
    for number in range(rounds):
        plain.append(_plain_run(stack, reference))
        ours.append(_portal_run(john, f"bench-{number}"))
    return row("POST to Jupyter answering / docker run to port answering", ours, plain, "<= 1.15")


def _portal_run(john: httpx2.Client, name: str) -> float:
    started = time.perf_counter()
    order = {"image": "ml-cpu", "name": name, "memory_gb": 2, "cpus": 1}
    made = john.post("/api/v1/deployments", json=order).raise_for_status().json()
    _until(lambda: john.get(f"{made['urls']['jupyter']}api").status_code == httpx2.codes.OK)
    took = time.perf_counter() - started
    path = f"/api/v1/deployments/{made['id']}"
    _until_state(john, path, "running")
    john.delete(path).raise_for_status()
    _until_state(john, path, "removed")
    return took


def _plain_run(stack: Stack, reference: str) -> float:
    """The same container, with the same limits and hardening, by the same library."""
    spec = ContainerSpec(
        name="portal-bench-plain",
        image=reference,
        labels={},
        environment={"PORTAL_TOKEN": "bench"},
        publish={8888: (stack.gateway, BASELINE_PORT), 6006: (stack.gateway, BASELINE_PORT + 1)},
        volumes={"portal-bench-home": HOME},
        tmpfs={"/tmp": TMPFS},
        memory_bytes=2 * 2**30,
        shm_bytes=2**29,
        cpus=1,
        pids=2048,
        hostname="bench",
    )
    engine = docker.from_env()
    started = time.perf_counter()
    container: Container = engine.containers.run(**create_arguments(spec))
    try:
        with httpx2.Client(timeout=1, trust_env=False) as http:
            _until(lambda: _answers(http, f"http://{stack.gateway}:{BASELINE_PORT}/api"))
        return time.perf_counter() - started
    finally:
        container.remove(force=True)
        engine.volumes.get("portal-bench-home").remove()


def authz(stack: Stack, john: httpx2.Client) -> Row:
    """One /authz decision over one connection, against the same server answering 404."""
    path, port = _notebook(john, "bench-authz")
    headers = {
        "X-Proxy-Secret": (stack.home / "secrets" / "proxy_secret").read_text(),
        "X-Client-Verify": "SUCCESS",
        "X-Client-Cert": quote((stack.certs / "john.crt").read_text()),
        "X-Gateway-Port": str(port),
    }
    address = f"http://{stack.addresses('api')[0]}:8000"
    try:
        with httpx2.Client(base_url=address, headers=headers, trust_env=False) as http:
            assert http.get("/authz").status_code == httpx2.codes.NO_CONTENT
            decided = [timed(lambda: http.get("/authz")) for _ in range(AUTHZ_CALLS)]
            floor = [timed(lambda: http.get("/api/none")) for _ in range(AUTHZ_CALLS // 5)]
    finally:
        john.delete(path).raise_for_status()
    return row("/authz p50 / the same server answering 404", decided, floor, "< 2 ms", "ms")


def _notebook(john: httpx2.Client, name: str) -> tuple[str, int]:
    """(path in the API, port) of a container that runs."""
    path = _order(john, name, 2)
    _until_state(john, path, "running")
    address = john.get(path).json()["urls"]["jupyter"]
    return path, int(address.rstrip("/").rsplit(":", 1)[1])


def gateway(stack: Stack, john: httpx2.Client, rounds: int) -> Row:
    """Requests per second through a user's port, against the same nginx without authorization.

    Behind both: an nginx in the deployment's place, since Jupyter itself (600/s) would hide the
    difference.
    """
    path, port = _notebook(john, "bench-gateway")
    fast = _fast_upstream(stack, path.rsplit("/", 1)[1], port)
    open_nginx = _nginx_without_authorization(stack, f"{stack.gateway}:{port}")
    try:
        ours_ip, open_ip = stack.addresses("proxy")[0], _address(open_nginx)
        _until(lambda: _ab(stack, f"https://{open_ip}:{port}/", 1) > 0)
        ours, peer = [], []
        for _ in range(rounds):
            peer.append(_ab(stack, f"https://{open_ip}:{port}/"))
            ours.append(_ab(stack, f"https://{ours_ip}:{port}/"))
        assert john.get(path).json()["state"] == "running"
    finally:
        open_nginx.remove(force=True)
        fast.remove(force=True)
        john.delete(path).raise_for_status()
    return row("gateway requests with authorization / without", ours, peer, ">= 0.80", "/s")


def _address(container: Container) -> str:
    container.reload()
    return str(next(iter(container.attrs["NetworkSettings"]["Networks"].values()))["IPAddress"])


def _fast_upstream(stack: Stack, deployment_id: str, port: int) -> Container:
    """An nginx that takes the place of a running deployment's container, under its labels.

    On the host's own network: Docker's userland proxy resets connections at a few hundred a second.
    """
    engine = docker.from_env()
    original = engine.containers.get(f"portal-{deployment_id}")
    folders = " ".join(f"{kind}_temp_path /run/nginx/{kind};" for kind in NGINX_TEMP)
    config = (
        "events { worker_connections 8192; } http { access_log off; "
        + folders
        + " keepalive_requests 1000000; "
        f"server {{ listen {stack.gateway}:{port}; "
        "location / { return 200 '" + "x" * 1000 + "'; } } } pid /run/nginx/pid;"
    )
    script = f'echo "{config}" > /run/nginx/c && exec nginx -c /run/nginx/c -g "daemon off;"'
    fast = engine.containers.create(
        "container-portal-proxy:dev",
        ["-c", script],
        entrypoint="sh",
        labels=original.labels,
        network_mode="host",
        tmpfs={
            "/run/nginx": "mode=1777",
            "/var/lib/nginx": "mode=1777",
            "/var/log/nginx": "mode=1777",
        },
    )
    original.remove(force=True)
    fast.start()
    with httpx2.Client(timeout=1, trust_env=False) as http:
        _until(lambda: _answers(http, f"http://{stack.gateway}:{port}/"))
    return fast


def _nginx_without_authorization(stack: Stack, upstream: str) -> Container:
    """The gateway's own image and entry point, with the questions taken out of its templates."""
    script = (
        "cd /etc/portal-nginx && sed -i -e 's/auth_request .*_authz;//; s/auth_request_set.*//'"
        f" -e 's|http://$portal_upstream;|http://{upstream};|' nginx.conf.template port.conf"
        " && sed -i 's/$portal_authorization/\"\"/' port.conf && exec entrypoint"
    )
    secrets = stack.home / "secrets"
    names = ("client_ca", "server_cert", "server_key", "proxy_secret")
    return docker.from_env().containers.run(
        "container-portal-proxy:dev",
        ["-c", script],
        entrypoint="sh",
        user="0",
        detach=True,
        network=f"{stack.project}_portal",
        environment={"PORTAL_PUBLIC_PORT": str(stack.port)},
        tmpfs={"/run/nginx": "mode=1777", "/var/lib/nginx": "mode=1777"},
        volumes={
            str(secrets / name): {"bind": f"/run/secrets/{name}", "mode": "ro"} for name in names
        },
    )


def _ab(stack: Stack, url: str, requests: int = AB_REQUESTS) -> float:
    """Requests per second by ApacheBench, keep-alive, with John's certificate."""
    pem = stack.home / "john-ab.pem"
    pem.write_text((stack.certs / "john.crt").read_text() + (stack.certs / "john.key").read_text())
    pem.chmod(0o444)
    command = [
        "docker",
        "run",
        "--rm",
        "--network",
        f"{stack.project}_portal",
        "-v",
        f"{pem}:/tmp/john.pem:ro",
        "--entrypoint",
        "ab",
        "container-portal-registry:dev",
        "-q",
        "-k",
        "-n",
        str(requests),
        "-c",
        str(min(AB_CLIENTS, requests)),
        "-E",
        "/tmp/john.pem",
        url,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    pem.unlink()
    found = re.search(r"Requests per second:\s+([\d.]+)", done.stdout)
    if not found or "Non-2xx" in done.stdout:
        if requests == 1:
            return 0  # it does not listen yet
        raise RuntimeError(f"ab did not get through: {done.stdout[-800:]}{done.stderr[-400:]}")
    return float(found[1])


def handover(stack: Stack, john: httpx2.Client, rounds: int) -> Row:
    """From one container's end to the next in the queue answering, against a start without a wait.

    Both ask for more than half of this machine's memory, so that the second waits for the first.
    """
    vm = john.get("/api/v1/vms").raise_for_status().json()[0]
    each = round(vm["memory_gb"] * 0.6)
    stack.admin(
        *("quota", "set", "--user", JOHN, "--memory-gb", str(each * 3)),
        *("--cpus", "16", "--deployments", "10"),
    )
    waits, starts = [], []
    try:
        for number in range(rounds):
            first = _order(john, f"bench-first-{number}", each)
            started = time.perf_counter()
            _until_state(john, first, "running")
            starts.append(time.perf_counter() - started)
            second = _order(john, f"bench-second-{number}", each)
            assert john.get(second).json()["state"] == "waiting"
            john.delete(first).raise_for_status()
            _until_state(john, first, "removed")
            started = time.perf_counter()
            _until_state(john, second, "running")
            waits.append(time.perf_counter() - started)
            john.delete(second).raise_for_status()
            _until_state(john, second, "removed")
    finally:
        stack.admin("quota", "clear", "--user", JOHN)
    return row(
        "freed to the next in the queue running / a start without a wait",
        waits,
        starts,
        "<= start + 2 s",
    )


def _order(john: httpx2.Client, name: str, memory_gb: float) -> str:
    """Ask; the address of what was made."""
    order = {"image": "ml-cpu", "name": name, "memory_gb": memory_gb, "cpus": 1}
    answer = john.post("/api/v1/deployments", json=order).raise_for_status()
    return f"/api/v1/deployments/{answer.json()['id']}"


def page(rounds: int) -> Row:
    """One run of My containers with 5 containers on the server, against an empty page."""
    full, empty = bench_page.run(rounds * 2)
    return row("My containers with 5 containers / an empty page", full, empty, "< 200 ms", "ms")


def _answers(http: httpx2.Client, url: str) -> bool:
    try:
        return http.get(url).status_code == httpx2.codes.OK
    except httpx2.HTTPError:
        return False


def _until_state(john: httpx2.Client, path: str, state: str) -> None:
    _until(lambda: john.get(path).json()["state"] == state)


def _until(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_S
    while not so():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not answer in time")
        time.sleep(POLL_S)


if __name__ == "__main__":
    main()
