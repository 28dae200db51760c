"""JupyterLab with the image's server settings alone.

Settings of the server in a home folder (~/.jupyter/jupyter_lab_config.py and the like) came from
other machines: another address, a certificate or a password of their own, or a value that ends the
server, end every start here. What people set in JupyterLab's own pages is read as ever.
"""

import socket
import sys

from jupyter_core.application import JupyterApp
from jupyter_core.paths import ENV_CONFIG_PATH
from jupyterlab.labapp import LabApp

JupyterApp.config_file_paths = [*ENV_CONFIG_PATH, "/etc/jupyter"]
# Of IPython 3's settings (2015): it ends with a folder that it may not read.
JupyterApp.migrate_config = lambda _: None
# A workspace of its own, which also names the browser's tab: containers on one VM share the home
# folder. The host's name is the deployment's.
workspace = f"--LabApp.default_url=/lab/workspaces/{socket.gethostname()}"
sys.exit(LabApp.launch_instance([*sys.argv[1:], workspace]))
