"""Who asks the store: the visitor of the page that runs, so that their queries are limited and end with them."""

import threading
from collections.abc import Callable
from contextvars import ContextVar

from streamlit.runtime import get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_run_context import ScriptRunContext

from core.data.errors import QueryStopped
from core.store.page_queries import Asker

_downloader: ContextVar[Asker | None] = ContextVar("downloader", default=None)
_run = threading.local()


def page_asker() -> Asker | None:
    """The asker of this thread's queries: the page's visitor until the page changes anything, or who presses a
    download's button (`for_downloader`). None for the program's own threads."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is None:
        return _downloader.get()
    if getattr(_run, "changing", None) is context.parallel_coordinator is not None:
        return None
    # Streamlit's own check: it ends the page's run if the browser is gone or the visitor has clicked on.
    return Asker(_name(context), context.yield_check)


def begin_change() -> None:
    """Limit no query any more until this run of the page has ended: a change must not be left half done, and the
    export of a large selection may take long."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is not None:
        _run.changing = context.parallel_coordinator  # each run has another one


def for_downloader(make: Callable[[], bytes]) -> Callable[[], bytes]:
    """`make` for a download button, with its queries limited as those of the page. Streamlit calls it in a thread that
    belongs to no page, with a context of its own (`asyncio.to_thread`), so that what is set there needs no reset."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is None:
        return make
    session = context.session_id

    def check_waiting() -> None:
        if not get_instance().is_active_session(session):
            raise QueryStopped("Nobody waits for this download any more.")

    asker = Asker(_name(context), check_waiting)

    def made() -> bytes:
        _downloader.set(asker)
        return make()

    return made


def visitor_name() -> str | None:
    """Whose page or download this thread makes: e-mail, or the tab without a login. None if it is nobody's."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is not None:
        return _name(context)
    asker = _downloader.get()
    return asker.name if asker else None


def _name(context: ScriptRunContext) -> str:
    return str(context.user_info.get("email") or context.session_id)
