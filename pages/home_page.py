"""Home: in an empty workspace what the tool shows and where to begin, later the runs and their next steps."""

from core.data.errors import UserError
from ui.home.run_cards import show_run_cards
from ui.home.unscored_datasets import show_unscored_datasets
from ui.home.welcome import show_welcome
from ui.kit.status_line import show_status_line
from ui.kit.widgets import show_error
from ui.shell.session import open_session


def home() -> None:
    """The whole page."""
    session = open_session()
    show_status_line(session, "home")
    runs, datasets = session.store.rows("SELECT (SELECT count(*) FROM run), (SELECT count(*) FROM dataset)")[0]
    if not runs and not datasets:
        show_welcome(session)
        return
    if runs:
        show_run_cards(session)
    show_unscored_datasets(session)


try:
    home()
except UserError as error:
    show_error(error)
