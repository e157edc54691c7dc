"""Serves the dashboard: python -m ui.serve [streamlit's options], what `make app` runs."""

import sys
from pathlib import Path

from streamlit.runtime.pages_manager import PagesManager
from streamlit.web import cli

from core import settings

APP = Path(__file__).resolve().parent.parent / "app.py"


def main() -> None:
    """`streamlit run app.py`, told beforehand that app.py names the pages.

    Streamlit learns this only when app.py has run once; until then it takes `pages/` for the older kind of app, and
    the first visitor of a link such as /explore would be told that there is no such page.
    """
    PagesManager.uses_pages_directory = False
    upload = f"--server.maxUploadSize={settings.integer('max_upload_megabytes')}"
    sys.argv = ["streamlit", "run", str(APP), upload, *sys.argv[1:]]
    cli.main()


if __name__ == "__main__":
    main()
