"""Serves the dashboard: python -m ui.serve [--open] [Streamlit options]. `make app` runs this."""

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
    """Run `streamlit run app.py` with the pages directory turned off.

    Streamlit learns only from the first run of app.py that the app uses st.navigation. Before that, it treats `pages/`
    as an old-style multipage app, and the first visitor of a link such as /explore gets "page not found".
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
    """Exit with 1 and a message if the server would be reachable by people without access."""
    # Streamlit reports arguments that cannot be parsed; then nothing starts either.
    options = cli.main_run.make_context("streamlit run", list(arguments), resilient_parsing=True).params
    flags = {name: value for name, value in options.items() if name not in ("target", "args")}
    config._main_script_path = str(APP)  # as `streamlit run` does, so that the config next to app.py is used
    bootstrap.load_config_options(flags)
    try:
        check_closed()
    except ServerOpen as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
