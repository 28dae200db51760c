"""Process entry: Streamlit serving app.py, with every line of its log as JSON."""

from __future__ import annotations

import bootstrap

bootstrap.configure_logging()

from streamlit.web import cli  # noqa: E402  (its loggers take the streams as they are now)

if __name__ == "__main__":
    cli.main(["run", "app.py"])
