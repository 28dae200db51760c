"""JupyterLab behind the portal's gateway.

The gateway proves who the person is (mutual TLS), checks the Origin header and adds the token, so
Jupyter shows no login page. Jupyter's own token would be written into every page (page_config), so
the token is checked here instead and never leaves the server.
"""

import hmac
import os
import secrets
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.auth.identity import IdentityProvider, User
from traitlets import default

INSTALLED = f"{os.environ.get('NOTEBOOK_ENV', '')}/share/jupyter"
# Taken out of the environment before any kernel inherits it. Without one, nobody gets in.
TOKEN = os.environ.pop("PORTAL_TOKEN", "") or secrets.token_hex()


class GatewayIdentity(IdentityProvider):
    """Whoever brings the gateway's token is the container's owner; everybody else is nobody."""

    auth_enabled = True

    def _token_default(self):
        return ""

    def get_user(self, handler):
        """The owner, or None."""
        given = handler.request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"token {TOKEN}".encode()):
            return None
        handler._token_authenticated = True
        return User(username="owner", name="Owner", display_name="Owner")

    def is_token_authenticated(self, handler):
        """Skips Jupyter's Origin and XSRF checks: the gateway has checked the Origin."""
        return getattr(handler, "_token_authenticated", False)


class Kernels(KernelSpecManager):
    """Those that people install, too; where names are equal, the image's count."""

    @default("kernel_dirs")
    def _kernel_dirs_default(self):
        return [*super()._kernel_dirs_default(), f"{INSTALLED}/kernels"]


c = get_config()  # noqa: F821  (given by Jupyter)
c.ServerApp.identity_provider_class = GatewayIdentity
c.ServerApp.kernel_spec_manager_class = Kernels
c.ServerApp.ip = "0.0.0.0"  # published by the engine on the VM's internal address only
c.ServerApp.port = 8888
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ServerApp.allow_remote_access = True
HOME, WORK = "/home/scientist", "/home/scientist/work"


def is_open(folder):
    """Whether people can work in it: a dangling link, a file, no right to it end the server."""
    return os.access(folder, os.R_OK | os.X_OK) and Path(folder).is_dir()


c.ServerApp.root_dir = HOME if is_open(HOME) else "/tmp"
if is_open(WORK):
    c.FileContentsManager.preferred_dir = "work"
# Extensions of JupyterLab that people install, without what these run on the server.
c.LabApp.extra_labextensions_path = [f"{INSTALLED}/labextensions"]
# Of other interfaces than JupyterLab's, and of language servers, which are not there.
c.ServerApp.jpserver_extensions = {"jupyter_lsp": False, "notebook_shim": False}
c.ServerApp.quit_button = False  # stopping belongs to the portal, which records it
