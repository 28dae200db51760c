"""The real system from deployment/docker-compose.yml, for `make demo`, tests and benchmarks."""

from __future__ import annotations

import os
import re
import shlex
import ssl
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from builds import HOST_CAS, ROOT, Say, StackError, docker, ensure_base

if TYPE_CHECKING:
    import pki
    from cryptography.x509 import Certificate
    from demo_secrets import DemoSecrets

COMPOSE_CHATTER = re.compile(r"^( Container | Network | Volume |time=)")
PORT_TAKEN = re.compile(
    r"listen tcp4? [\d.]+:(\d+): bind|Bind for [\d.]+:(\d+) failed|bind\(\) to [\d.]+:(\d+) failed"
)


@dataclass
class Stack:
    """One running portal. `home` holds its certificates and secrets."""

    home: Path
    project: str
    host: str = "localhost"
    bind: str = "127.0.0.1"
    port: int = 8443
    registry_port: int = 5443
    ssh_port: int = 2222
    registry_host: str = "127.0.0.1:5443"
    subnet: str = "172.30.99"
    environment: str = "demo"
    settings: dict[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ("docker-compose.yml",)
    """Of Compose, below deployment/ or absolute."""

    @property
    def certs(self) -> Path:
        """Certificates of people and of the server."""
        return self.home / "certs"

    @property
    def crls(self) -> Path:
        """The authorities' revocation lists, as the services see them."""
        return self.home / "crls"

    @property
    def gateway(self) -> str:
        """The host's address on the portal's network: where this machine's engine publishes."""
        return f"{self.subnet}.1"

    @property
    def url(self) -> str:
        """The portal's address."""
        return f"https://{self.host}:{self.port}"

    def tls(self, person: str | None) -> ssl.SSLContext:
        """Of a client that trusts this portal, with somebody's certificate or none."""
        context = ssl.create_default_context(cafile=str(self.certs / "ca.crt"))
        if person is not None:
            context.load_cert_chain(self.certs / f"{person}.crt", self.certs / f"{person}.key")
        return context

    @property
    def demo(self) -> DemoSecrets:
        """What a demonstration makes for itself: authority, certificates, secrets."""
        # Needs packages that `make demo` does without: there a container makes them.
        from demo_secrets import DemoSecrets  # noqa: PLC0415

        return DemoSecrets(self.home, (self.host, "localhost", "127.0.0.1", self.bind, "registry"))

    def is_made(self) -> bool:
        """Whether make_secrets() went through here."""
        return (self.home / "complete").exists()

    def make_secrets(self) -> bool:
        """Authority, certificates, secrets and cosign's keys; what exists is kept. Whether new.

        The service image makes them, as in the quick start: this machine needs no packages for it.
        """
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = f"{self.host} localhost 127.0.0.1 {self.bind} registry"
        options = {
            "--network": "none",
            "--user": f"{os.getuid()}:{os.getgid()}",
            "--env": f"PORTAL_SERVER_NAMES={names}",
        }
        mounts = (f"{self.home}:/out", f"{ROOT / 'deployment' / 'quickstart'}:/quickstart:ro")
        made = docker(
            "run",
            "--rm",
            *(word for option in options.items() for word in option),
            *("--env=HOME=/tmp", "--env=PYTHONPATH=/srv/portal"),
            *(f"--volume={mount}" for mount in mounts),
            "container-portal:dev",
            *("python3", "/quickstart/quickstart.py", "demo"),
        )
        return made == "new"

    def revoke(self, authority: pki.Authority, *revoked: Certificate) -> None:
        """A new list of the people's authority, with exactly these certificates."""
        self.demo.revoke(authority, *revoked)

    def authority(self) -> pki.Authority:
        """The authority that make_secrets() made, to issue more certificates."""
        return self.demo.authority()

    def write_secret(self, name: str, content: bytes) -> None:
        """A secret file in this stack's folder."""
        self.demo.write_secret(name, content)

    def compose(self, *arguments: str, capture: bool = False) -> str:
        """Run docker compose on this project. Raises StackError with its output."""
        command = ["docker", "compose", *arguments]
        pipe = subprocess.PIPE if capture else None
        done = subprocess.run(
            command,
            env=self.variables(),
            text=True,
            stdout=pipe,
            stderr=pipe,
            check=False,
        )
        if done.returncode:
            raise StackError(f"{' '.join(command)} failed: {done.stderr or ''}{done.stdout or ''}")
        return done.stdout or ""

    def admin(self, *arguments: str) -> str:
        """Run admin.py in the api container."""
        return self.compose("exec", "-T", "api", "python3", "admin.py", *arguments, capture=True)

    def up(self) -> None:
        """Start, or bring up to date; returns when every service is healthy.

        StackError names a port that is taken.
        """
        try:
            self.compose(
                "up", "-d", "--wait", "--wait-timeout", "120", "--quiet-pull", capture=True
            )
        except StackError as error:
            logs = self.compose("logs", "--no-color", "--tail", "20", "proxy", capture=True)
            taken = PORT_TAKEN.search(f"{error}{logs}")
            if taken is None:
                raise
            self.down()
            port = taken[1] or taken[2] or taken[3]
            what = f"Port {port} on {self.bind} is in use by another program"
            raise StackError(
                f"{what}. End it (ss -ltnp shows it) and try again. The portal was stopped."
            ) from error

    def down(self, *, volumes: bool = False) -> None:
        """Stop and remove the containers, and the data if asked."""
        options = ["--volumes"] if volumes else []
        # The publisher's volume is Compose's only with its profile.
        self.compose("--profile", "tools", "down", "--timeout", "5", *options, capture=True)

    def remove_what_users_had(self, *, homes: bool, say: Say = print) -> None:
        """Containers and networks of this portal on this machine's engine; home folders if asked.

        The portal must be down: its worker would start the next in the queue. A home folder
        that a container of another portal uses is kept: it is that portal's people's too.
        """
        made_here = f"label=org.container-portal.instance={self.url}"
        names = docker("ps", "--all", "--filter", made_here, "--format", "{{.Names}}")
        for container in names.split():
            say(f"Removing container {container} ...")
            docker("rm", "--force", "--volumes", container)
        for name in docker("network", "ls", "--quiet", "--filter", made_here).split():
            docker("network", "rm", name)
        if not homes:
            return
        for name in docker("volume", "ls", "--quiet", "--filter", made_here).split():
            users = docker("ps", "--all", "--filter", f"volume={name}", "--format", "{{.Names}}")
            if users:
                say(f"Keeping home folder {name}: {users.split()[0]} of another portal uses it.")
            else:
                docker("volume", "rm", name)

    def addresses(self, *services: str) -> list[str]:
        """From where services reach the portal's network, and are reached on it, now."""
        network = f'{{{{(index .NetworkSettings.Networks "{self.project}_portal").IPAddress}}}}'
        return [
            # nginx is on the host's own network.
            self.gateway
            if service == "proxy"
            else docker("inspect", "--format", network, f"{self.project}-{service}-1")
            for service in services
        ]

    def variables(self) -> dict[str, str]:
        """The environment with the settings of this stack, for compose and the scripts."""
        return {**os.environ, **self.own_variables()}

    def write_variables(self) -> Path:
        """A file for a person's shell, whose commands of Compose and scripts then mean this."""
        lines = [
            f"export {name}={shlex.quote(value)}" for name, value in self.own_variables().items()
        ]
        file = self.home / "settings"
        file.write_text("\n".join(lines) + "\n")
        return file

    def own_variables(self) -> dict[str, str]:
        """The settings of this stack."""
        socket = Path("/var/run/docker.sock")
        return {
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_FILE": ":".join(str(ROOT / "deployment" / name) for name in self.files),
            "PORTAL_SECRETS": str(self.home / "secrets"),
            "PORTAL_CRLS": str(self.crls),
            "PORTAL_REVOCATION": "strict",
            "PORTAL_PUBLIC_HOST": self.host,
            "PORTAL_PUBLIC_PORT": str(self.port),
            "PORTAL_BIND": self.bind,
            "PORTAL_REGISTRY_PORT": str(self.registry_port),
            "PORTAL_REGISTRY_HOST": self.registry_host,
            "PORTAL_SSH_PORT": str(self.ssh_port),
            "PORTAL_SUBNET": f"{self.subnet}.0/24",
            "PORTAL_GATEWAY": self.gateway,
            "PORTAL_ENVIRONMENT": self.environment,
            "PORTAL_ENGINE_GID": str(socket.stat().st_gid if socket.exists() else 0),
            "PORTAL_ADMINS": "3456789012",
            "PORTAL_CURATORS": "4567890123",
            "PORTAL_REGISTRY_LOCAL_HOST": f"127.0.0.1:{self.registry_port}",
            "PORTAL_ALLOW_STANDINS": "true",
            "PORTAL_APPROVAL_BY_ANOTHER": "false",  # one person shows it all
            "PORTAL_ADVISORIES": str(ROOT / "deployment" / "advisories-demo"),
            "PORTAL_BUILD_CERTS": str(HOST_CAS),
            "PORTAL_IMAGES": str(ROOT / "images"),
            **self.settings,
        }

    def publish(self, image: str, *arguments: str, say: Say = print) -> str:
        """Publish an image by the real pipeline, and approve it.

        Returns the reference that engines pull.
        """
        ensure_base(image)
        output = self.publisher("image", "publish", image, "--approve", *arguments, say=say)
        return output.strip().splitlines()[-1].rpartition(" ")[2]

    def publisher(
        self,
        *arguments: str,
        say: Say | None = None,
        settings: dict[str, str] | None = None,
        database: str = "",
    ) -> str:
        """Run admin.py with the publisher's tools; every line goes to `say` as it comes.

        Raises StackError.

        `settings` differ from the stack's for this one command; `database` is another portal's.
        """
        command = [
            "docker",
            "compose",
            "run",
            "--rm",
            "-T",
            "--no-deps",
            *(["-e", f"PORTAL_DATABASE_URL={database}"] if database else []),
            "publisher",
            *arguments,
        ]
        lines = []
        with subprocess.Popen(
            command,
            env={**self.variables(), **(settings or {})},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as running:
            assert running.stdout is not None
            for line in running.stdout:
                if COMPOSE_CHATTER.match(line):
                    continue
                lines.append(line)
                if say:
                    say(f"  {line.rstrip()}")
        if running.returncode:
            raise StackError(
                "publishing stopped; its last words are above" if say else "".join(lines)
            )
        return "".join(lines)

    def registry_auth(self) -> dict[str, str]:
        """The registry's credentials."""
        return {
            "username": "portal",
            "password": (self.home / "secrets" / "registry_password").read_text(),
        }
