"""Serves the dashboard: python -m ui.serve [--open] [streamlit's options], what `make app` runs."""

import os
import sys
from pathlib import Path

from streamlit import config
from streamlit.runtime.pages_manager import PagesManager
from streamlit.web import bootstrap, cli

from core.data import settings
from core.data.errors import ServerOpen, SettingInvalid
from ui.shell.closed_server import check_closed
from ui.shell.import_ahead import import_ahead

APP = Path(__file__).resolve().parent.parent / "app.py"


def main() -> None:
    """`streamlit run app.py`, told beforehand that app.py names the pages.

    Streamlit learns this only when app.py has run once; until then it takes `pages/` for the older kind of app, and
    the first visitor of a link such as /explore would be told that there is no such page.
    """
    PagesManager.uses_pages_directory = False
    try:
        settings.check_settings()
    except SettingInvalid as error:
        sys.exit(str(error))
    upload = f"--server.maxUploadSize={settings.integer('max_upload_megabytes')}"
    if "--open" in sys.argv[1:]:
        os.environ["LOBASS_ALLOW_OPEN"] = "1"
    given = [option for option in sys.argv[1:] if option != "--open"]
    sys.argv = ["streamlit", "run", str(APP), upload, *given]
    _check_closed(sys.argv[2:])
    import_ahead()
    cli.main()


def _check_closed(arguments: list[str]) -> None:
    """Exit with 1 and a sentence if the server that these arguments make would be open to people not let in."""
    # What cannot be parsed is left for Streamlit to complain about, and then nothing starts either.
    options = cli.main_run.make_context("streamlit run", list(arguments), resilient_parsing=True).params
    flags = {name: value for name, value in options.items() if name not in ("target", "args")}
    config._main_script_path = str(APP)  # as `streamlit run` does, so that the config beside app.py counts
    bootstrap.load_config_options(flags)
    try:
        check_closed()
    except ServerOpen as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
