"""JupyterLab behind the portal's gateway.

The gateway proves who the person is (mutual TLS), checks the Origin header and adds the token,
so Jupyter shows no login page. The token comes from JUPYTER_TOKEN, which Jupyter reads itself.
"""

c = get_config()  # noqa: F821  (given by Jupyter)
c.ServerApp.ip = "0.0.0.0"  # published by the engine on the VM's internal address only
c.ServerApp.port = 8888
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ServerApp.allow_remote_access = True
c.ServerApp.root_dir = "/home/scientist"
c.ServerApp.preferred_dir = "/home/scientist/work"
c.ServerApp.quit_button = False  # stopping belongs to the portal, which records it
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
