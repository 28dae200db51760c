"""What a demonstration makes for itself: an authority, people's certificates, secrets."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

import pki
from cryptography.x509 import Certificate

PEOPLE = {
    "jane": ("DOE.JANE.Q.1234567890", "1234567890@mil"),
    "john": ("ROE.JOHN.A.2345678901", "2345678901@mil"),
    "admin": ("RAY.ALEX.M.3456789012", "3456789012@mil"),
    "mei": ("LIN.MEI.T.4567890123", "4567890123@mil"),
}


@dataclass(frozen=True)
class DemoSecrets:
    """The files below `home`; `server_names` are what the server's certificate is for."""

    home: Path
    server_names: tuple[str, ...]

    @property
    def certs(self) -> Path:
        """Certificates of people and of the server."""
        return self.home / "certs"

    @property
    def crls(self) -> Path:
        """The authorities' revocation lists, as the services see them."""
        return self.home / "crls"

    def make(self) -> bool:
        """Authority, certificates and secrets; what exists is kept.

        True when something was new.
        """
        complete = self.home / "complete"
        new = not complete.exists()
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (self.certs, self.home / "secrets"):
            path.mkdir(exist_ok=True)
        authority = self._authority()
        for name, (common_name, upn) in PEOPLE.items():
            if not (self.certs / f"{name}.p12").exists():  # the last of its files
                pki.write_person(self.certs, name, authority.person(common_name, upn), authority)
        self._write_service_secrets(authority)
        if not (self.crls / "people.crl").exists():
            self.revoke(authority)
        complete.touch()
        return new

    def revoke(self, authority: pki.Authority, *revoked: Certificate) -> None:
        """A new list of the people's authority, with exactly these certificates."""
        self.crls.mkdir(exist_ok=True)
        self.crls.chmod(0o755)
        new = self.crls / ".new"
        new.write_bytes(authority.revocation_list(*revoked))
        new.chmod(0o644)
        new.replace(self.crls / "people.crl")

    def authority(self) -> pki.Authority:
        """The authority that make() made, to issue more certificates."""
        return pki.Authority.load(self.home / "authority.pem")

    def _authority(self) -> pki.Authority:
        """The authority, made and saved before anything it signs: a run may be interrupted."""
        path = self.home / "authority.pem"
        if path.exists():
            return pki.Authority.load(path)
        made = pki.Authority("Container Portal Demo")
        made.save(path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)
        return made

    def _write_service_secrets(self, authority: pki.Authority) -> None:
        root = pki.pem(authority.root.certificate)
        files = {
            "client_ca": authority.bundle,
            "registry_ca": root,
            "proxy_secret": secrets.token_urlsafe(32).encode(),
            "registry_password": secrets.token_urlsafe(24).encode(),
            "postgres_password": secrets.token_urlsafe(24).encode(),
            "ssh_known_hosts": b"",
        }
        folder = self.home / "secrets"
        # Of a pair, the second file says that both are there.
        if not (folder / "server_key").exists():
            server = authority.server(list(self.server_names))
            server.write(self.certs, "server")
            (self.certs / "ca.crt").write_bytes(root)
            chain = pki.pem(server.certificate, authority.servers.certificate)
            self.write_secret("server_cert", chain)
            self.write_secret("server_key", pki.key_pem(server.key))
        if not (folder / "ssh_key.pub").exists():
            private, public = pki.ssh_key_pair()
            self.write_secret("ssh_key", private)
            self.write_secret("ssh_key.pub", public)
        for name, content in files.items():
            if not (folder / name).exists():
                self.write_secret(name, content)

    def write_secret(self, name: str, content: bytes) -> None:
        """A secret file.

        Its folder is closed to others; the containers' users must be able to read the file.
        """
        path = self.home / "secrets" / name
        if path.exists():
            path.chmod(0o644)  # only root could write it otherwise
        path.write_bytes(content)
        path.chmod(0o444)
