"""Bench of the gateway: what one decision costs, and requests per second through it."""

from __future__ import annotations

import re
import socket
import subprocess
from contextlib import ExitStack, suppress
from urllib.parse import quote

import docker
import httpx2
from docker.models.containers import Container
from ordering import answers, notebook, tidy, until
from rows import Row, Sizes, row, timed
from stack import Stack

AB_CLIENTS = 8
BESIDE = "127.0.0.77"
"""Of this host: the gateway without authorization, beside the gateway."""
MANY_PORTS = "10000-28499"
"""Where a process may have only 20,000 open files, further ones have processes of their own."""
NGINX_TEMP = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def authz(stack: Stack, john: httpx2.Client, calls: int) -> Row:
    """One /authz decision over one connection, against the same server answering 404."""
    with tidy(stack, john):
        return _authz(stack, john, calls)


def _authz(stack: Stack, john: httpx2.Client, calls: int) -> Row:
    _, port = notebook(john, "bench-authz")
    headers = {
        "X-Proxy-Secret": (stack.home / "secrets" / "proxy_secret").read_text(),
        "X-Client-Verify": "SUCCESS",
        "X-Client-Cert": quote((stack.certs / "john.crt").read_text()),
        "X-Gateway-Port": str(port),
    }
    address = f"http://{stack.addresses('authz')[0]}:8000"
    with httpx2.Client(base_url=address, headers=headers, trust_env=False) as http:
        assert http.get("/authz").status_code == httpx2.codes.NO_CONTENT
        decided = [timed(lambda: http.get("/authz")) for _ in range(calls)]
        floor = [timed(lambda: http.get("/none")) for _ in range(calls)]
    return row("/authz p50 / the same server answering 404", decided, floor, "<= 1.30", "ms")


def gateway(stack: Stack, john: httpx2.Client, sizes: Sizes) -> Row:
    """Requests per second through a user's port, against the same nginx without authorization.

    Behind both: an nginx in the deployment's place, since Jupyter itself (600/s) would hide the
    difference.
    """
    with ExitStack() as made:
        made.enter_context(tidy(stack, john))
        path, port = notebook(john, "bench-gateway")
        fast = _fast_upstream(stack, path.rsplit("/", 1)[1], port)
        made.callback(fast.remove, force=True)
        with httpx2.Client(timeout=1, trust_env=False) as http:
            until(lambda: answers(http, f"http://{stack.gateway}:{port}/"))
        open_nginx = _nginx_without_authorization(stack, f"{stack.gateway}:{port}")
        made.callback(open_nginx.remove, force=True)
        until(lambda: _ab(stack, f"https://{BESIDE}:{port}/", 1) > 0)
        measured, peer = [], []
        for _ in range(sizes.rounds):
            peer.append(_ab(stack, f"https://{BESIDE}:{port}/", sizes.requests))
            measured.append(_ab(stack, f"https://{stack.bind}:{port}/", sizes.requests))
        assert john.get(path).json()["state"] == "running"
    return row("gateway requests with authorization / without", measured, peer, ">= 0.80", "/s")


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
    return fast


def _nginx_without_authorization(stack: Stack, upstream: str) -> Container:
    """The gateway's own image and entry point, with the questions taken out of its templates."""
    script = (
        "cd /etc/portal-nginx && sed -i -e 's/auth_request .*_authz;//; s/auth_request_set.*//'"
        f" -e 's|http://$portal_upstream;|http://{upstream};|' nginx.conf.template port.conf"
        " && sed -i 's/$portal_authorization/\"\"/' port.conf && exec entrypoint"
    )
    return _gateway(stack, ["-c", script], entrypoint="sh")


def _gateway(
    stack: Stack, command: list[str], entrypoint: str = "entrypoint", ports: str = ""
) -> Container:
    """One more container of the gateway's image beside the gateway, with its secrets."""
    secrets = stack.home / "secrets"
    names = ("client_ca", "server_cert", "server_key", "proxy_secret")
    own = {"PORTAL_USER_PORTS": ports} if ports else {}
    return docker.from_env().containers.run(
        "container-portal-proxy:dev",
        command,
        entrypoint=entrypoint,
        user="0",
        detach=True,
        network_mode="host",
        environment={"PORTAL_BIND": BESIDE, "PORTAL_PUBLIC_PORT": str(stack.port), **own},
        tmpfs={
            "/run/nginx": "mode=1777",
            "/var/lib/nginx": "mode=1777",
            "/var/log/nginx": "mode=1777",
        },
        volumes={
            str(secrets / name): {"bind": f"/run/secrets/{name}", "mode": "ro"} for name in names
        },
    )


def start(stack: Stack, rounds: int) -> Row:
    """From `docker start` to the last of many ports, against a container that only sleeps."""
    with ExitStack() as made:
        gateway = _gateway(stack, [], ports=MANY_PORTS)
        made.callback(gateway.remove, force=True)
        sleeper = _gateway(stack, ["60"], entrypoint="sleep")
        made.callback(sleeper.remove, force=True)
        last = int(MANY_PORTS.partition("-")[2])

        def listen_again() -> None:
            gateway.start()
            until(lambda: _listens(last))

        until(lambda: _listens(last))
        measured, plain = [], []
        for _ in range(rounds):
            gateway.kill()
            measured.append(timed(listen_again))
            sleeper.kill()
            plain.append(timed(sleeper.start))
    return row(f"gateway started, {MANY_PORTS} / docker start of sleep", measured, plain, "< 2 s")


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((BESIDE, port), 1):
        return True
    return False


def _ab(stack: Stack, url: str, requests: int) -> float:
    """Requests per second by ApacheBench, keep-alive, with John's certificate."""
    pem = stack.home / "john-ab.pem"
    pem.write_text((stack.certs / "john.crt").read_text() + (stack.certs / "john.key").read_text())
    pem.chmod(0o444)
    command = [
        "docker",
        "run",
        "--rm",
        "--network",
        "host",
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
    rate = re.search(r"Requests per second:\s+([\d.]+)", done.stdout)
    if not rate or "Non-2xx" in done.stdout:
        if requests == 1:
            return 0  # it does not listen yet
        raise RuntimeError(f"ab did not get through: {done.stdout[-800:]}{done.stderr[-400:]}")
    return float(rate[1])
