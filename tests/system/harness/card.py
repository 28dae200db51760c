"""A smart card in a reader, and a browser that uses it by PKCS #11, as people's browsers do.

The card is SoftHSM2's; a reader is missing here. Its key is marked as public so that no PIN is
asked for: nobody could type one into a browser without a screen. Taken out, its key is gone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, BrowserType

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
TOOLS = ("softhsm2-util", "p11tool", "modutil", "certutil")
PIN = "123456"


def missing() -> list[str]:
    """What of the tools that this needs is not installed here (scripts/dev/browser.sh)."""
    return [tool for tool in TOOLS if not shutil.which(tool)]


class CardReader:
    """With a person's card in it. Its files and the browser's are below `home`."""

    def __init__(self, home: Path, certificate: Path, key: Path) -> None:
        self._home, self._tokens = home, home / "tokens"
        self._tokens.mkdir()
        settings = home / "softhsm2.conf"
        settings.write_text(f"directories.tokendir = {self._tokens}\nobjectstore.backend = file\n")
        self._env = {"HOME": str(home), "SOFTHSM2_CONF": str(settings), "GNUTLS_PIN": PIN}
        pins = ("--pin", PIN, "--so-pin", PIN)
        self._run("softhsm2-util", "--init-token", "--free", "--label", "card", *pins)
        public = home / "public.pem"
        self._run("openssl", "pkey", "-in", str(key), "-pubout", "-out", str(public))
        self._write("--load-privkey", key)
        self._write("--load-pubkey", public)
        self._write("--load-certificate", certificate)
        database = f"sql:{home / '.pki/nssdb'}"  # where Chromium looks
        (home / ".pki/nssdb").mkdir(parents=True)
        self._run("certutil", "-N", "-d", database, "--empty-password")
        library = ("-libfile", str(MODULE), "-mechanisms", "FRIENDLY")
        self._run("modutil", "-force", "-dbdir", database, "-add", "card", *library)

    def browser(
        self, chromium: BrowserType, origins: list[str], env: Mapping[str, str], **options: Any
    ) -> BrowserContext:
        """A browser of this computer, which gives these origins the card without asking which."""
        profile = self._home / "profile"
        (profile / "Default").mkdir(parents=True, exist_ok=True)
        given: dict[str, object] = {
            f"{origin},*": {"setting": {"filters": [{}]}} for origin in origins
        }
        exceptions = {"exceptions": {"auto_select_certificate": given}}
        preferences = {"profile": {"content_settings": exceptions}}
        (profile / "Default/Preferences").write_text(json.dumps(preferences))
        return chromium.launch_persistent_context(
            profile, env={**env, **self._env}, ignore_https_errors=True, **options
        )

    def take_out(self) -> None:
        """The card is out of the reader."""
        self._tokens.rename(self._home / "taken-out")
        self._tokens.mkdir()

    def put_in(self) -> None:
        """The card is in the reader again."""
        self._tokens.rmdir()
        (self._home / "taken-out").rename(self._tokens)

    def _write(self, *what: object) -> None:
        name = ("--label", "card", "--id", "01", "--no-mark-private")
        module = ("--provider", str(MODULE), "--batch", "--login", "--write")
        self._run("p11tool", *module, *name, *map(str, what), "pkcs11:token=card")

    def _run(self, *command: str) -> None:
        env = os.environ | self._env
        subprocess.run(command, env=env, check=True, capture_output=True, timeout=60)
