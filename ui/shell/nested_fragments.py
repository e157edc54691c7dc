"""Mends what Streamlit 1.67 does when a fragment runs again before the browser has all that it drew.

It drops from its queue what this fragment drew, because the new run draws it again, but keeps what fragments within it
drew. Their places are in what was dropped: the browser finds a "bad delta path", and the page turns white.
"""

from functools import cache

from streamlit.runtime.app_session import AppSession

_clear_queue = AppSession._clear_queue


@cache
def drop_nested_with_outer() -> None:
    """From now on, drop what fragments within a fragment drew together with it: the new run draws them again."""
    AppSession._clear_queue = _clear_with_nested  # type: ignore[method-assign, assignment]


def _clear_with_nested(session: AppSession, fragment_ids_this_run: list[str] | None = None) -> None:
    running = fragment_ids_this_run
    if running:
        queued = {message.delta.fragment_id for message in session._browser_queue._queue} - {""}
        running = [*running, *(one for one in queued if session._fragment_storage.has_ancestor_in(one, running))]
    _clear_queue(session, running)
