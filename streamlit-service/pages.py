"""Process entry: Streamlit serving app.py, with every line of its log as JSON."""

from __future__ import annotations

import bootstrap

bootstrap.configure_logging()

# Its loggers take the streams as they are now.
from streamlit.runtime.app_session import AppSession  # noqa: E402
from streamlit.web import bootstrap as streamlit  # noqa: E402
from streamlit.web import cli  # noqa: E402

# Any tab may ask for it, and it would take everybody's away: what pages remember, the connections.
setattr(AppSession, "_handle_clear_cache_request", lambda _: None)  # noqa: B010  (no setting for it)

if __name__ == "__main__":
    # It would look at its configuration ten times a second, whatever fileWatcherType says. Ours is
    # part of the image.
    setattr(streamlit, "_install_config_watchers", lambda _: None)  # noqa: B010  (no setting for it)
    cli.main(["run", "app.py"])
