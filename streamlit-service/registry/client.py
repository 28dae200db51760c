"""What the portal asks a registry itself (OCI distribution specification 1.1): tags and sizes."""

from __future__ import annotations

import hashlib
import re
import ssl
from typing import Any

import httpx2
from portal.core.errors import EngineError
from portal.core.settings import Settings

KINDS = (
    "oci.image.manifest.v1",
    "docker.distribution.manifest.v2",
    "oci.image.index.v1",
    "docker.distribution.manifest.list.v2",
)
MANIFESTS = ", ".join(f"application/vnd.{kind}+json" for kind in KINDS)
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
TOO_LARGE = 2**50
"""No layer is: a petabyte."""
SIGNATURE = "dev.cosignproject.cosign/signature"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
MOST_SIGNATURES, LARGEST_PAYLOAD = 20, 2**16
"""Of one image; a payload in bytes."""
REFUSED = (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN)


class Registry:
    """The configured registry, with its credentials and authority.

    Every call has a deadline; raises EngineError.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        trust = ssl.create_default_context(
            cafile=str(settings.registry_ca_file) if settings.registry_ca_file else None
        )
        self._http = httpx2.Client(
            verify=trust,
            timeout=settings.registry_timeout_s,
            trust_env=False,
            follow_redirects=True,
        )

    def ping(self) -> None:
        """Ask whether it is there and takes the credentials (the specification's end-1)."""
        host = self._settings.registry.service_host
        self._get(f"https://{host}/v2/", {})

    def digest_of(self, reference: str, tag: str) -> str | None:
        """The digest that a tag beside this reference points to now, or None without such a tag.

        A registry need not say it: the digest is that of what it answers.
        """
        answer = self._manifest(reference, tag)
        if answer is None:
            return None
        said: str | None = answer.headers.get("Docker-Content-Digest")
        if said:
            return said
        if "schemaVersion" not in _object(answer):
            raise _no_registry(answer, "no manifest")
        return f"sha256:{hashlib.sha256(answer.content).hexdigest()}"

    def download_bytes(self, reference: str) -> int:
        """The compressed layers of name@digest, in bytes; 0 when the registry does not say."""
        answer = self._manifest(reference, reference.partition("@")[2])
        if answer is None:
            return 0
        try:
            sizes = [int(layer.get("size", 0)) for layer in _object(answer).get("layers") or []]
        except (TypeError, ValueError, AttributeError) as error:
            raise _no_registry(answer, error) from error
        return sum(size for size in sizes if 0 <= size < TOO_LARGE)

    def config_of(self, reference: str) -> str:
        """The digest of the configuration of name@digest: engines use it as the image's id.

        "" when not known.
        """
        answer = self._manifest(reference, reference.partition("@")[2])
        config = _object(answer).get("config") if answer is not None else None
        return str(config.get("digest", "")) if isinstance(config, dict) else ""

    def signatures_of(self, reference: str) -> list[tuple[bytes, str]]:
        """What was signed of name@digest, and the signature (base64), as cosign keeps them.

        Under a tag of their own (Sigstore's cosign, specs/SIGNATURE_SPEC.md).
        """
        digest = reference.partition("@")[2]
        answer = self._manifest(reference, f"{digest.replace(':', '-')}.sig")
        layers = _object(answer).get("layers") if answer is not None else None
        found = []
        for layer in layers[:MOST_SIGNATURES] if isinstance(layers, list) else ():
            try:
                name, size = str(layer["digest"]), int(layer["size"])
                signature = str(layer["annotations"][SIGNATURE])
            except (KeyError, TypeError, ValueError):
                continue  # what else may be attached there
            if 0 < size <= LARGEST_PAYLOAD and DIGEST.fullmatch(name):
                found.append((self._blob(reference, name), signature))
        return found

    def _blob(self, reference: str, digest: str) -> bytes:
        answer = self._get(f"{self._repository(reference)}/blobs/{digest}", {})
        if f"sha256:{hashlib.sha256(answer.content).hexdigest()}" != digest:
            raise _no_registry(answer, "other content than its digest says")
        return answer.content

    def _repository(self, reference: str) -> str:
        name = self._settings.registry.for_services(reference).partition("@")[0]
        host, _, path = name.partition("/")
        return f"https://{host}/v2/{path}"

    def _manifest(self, reference: str, which: str) -> httpx2.Response | None:
        url = f"{self._repository(reference)}/manifests/{which}"
        answer = self._get(url, {"Accept": MANIFESTS})
        if answer.status_code != httpx2.codes.NOT_FOUND:
            return answer
        # Whatever stands in its place has a page for what it does not know.
        if not isinstance(_object(answer).get("errors"), list):
            raise _no_registry(answer, "404 without the registry's own words")
        return None

    def _get(self, url: str, headers: dict[str, str]) -> httpx2.Response:
        try:
            answer = self._http.get(url, headers=headers, auth=self._basic(url))
            if answer.status_code == httpx2.codes.UNAUTHORIZED:
                if not answer.headers.get("WWW-Authenticate", "").startswith("Bearer"):
                    raise self._refused(url)
                answer = self._http.get(
                    url, headers={**headers, "Authorization": f"Bearer {self._token(answer, url)}"}
                )
            if answer.status_code in REFUSED:
                raise self._refused(url)
            if answer.status_code != httpx2.codes.NOT_FOUND:
                answer.raise_for_status()
        except (httpx2.HTTPError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise EngineError(
                "registry_unreachable",
                "The registry does not answer.",
                f"Try again in a minute; if this persists, tell {self._settings.help_contact}.",
                f"{url}: {type(error).__name__}: {error}",
            ) from error
        return answer

    def _refused(self, url: str) -> EngineError:
        return EngineError(
            "registry_refused",
            "The registry refused the portal's password.",
            f"Tell {self._settings.help_contact}: its credentials need to be renewed.",
            url,
        )

    def _basic(self, url: str) -> httpx2.BasicAuth | None:
        """The login, if the address is the registry's own."""
        login = self._settings.registry.login(url.split("/")[2])
        return httpx2.BasicAuth(*login) if login else None

    def _token(self, refused: httpx2.Response, url: str) -> str:
        """A pull token, as most public registries want it (Docker's token authentication)."""
        asked: dict[str, Any] = dict(CHALLENGE.findall(refused.headers.get("WWW-Authenticate", "")))
        realm = asked.pop("realm")  # KeyError: no such scheme
        if not str(realm).startswith("https://"):
            raise ValueError(f"a token server without TLS: {realm}")
        answer = self._http.get(realm, params=asked, auth=self._basic(url))
        if answer.status_code in REFUSED:
            raise self._refused(url)
        answer.raise_for_status()
        body = answer.json()
        if not isinstance(body, dict):
            raise TypeError(f"a token server that answers {type(body).__name__}")
        return str(body.get("token") or body["access_token"])


def _object(answer: httpx2.Response) -> dict[str, Any]:
    """The object in an answer. Raises EngineError where there is none."""
    try:
        said = answer.json()
    except (ValueError, RecursionError) as error:
        raise _no_registry(answer, error) from error
    if not isinstance(said, dict):
        raise _no_registry(answer, f"it answers {type(said).__name__}")
    return said


def _no_registry(answer: httpx2.Response, why: object) -> EngineError:
    return EngineError(
        "registry_unreachable",
        "The server at the registry's address is not a registry.",
        "Check the address, and any proxy in between.",
        f"{answer.url}: {why}",
    )
