"""What Streamlit still sends when a fragment runs again: its own queue and store of fragments, no stand-ins."""

from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.fragment import MemoryFragmentStorage

from ui.shell.nested_fragments import _clear_queue, drop_nested_with_outer

DRAWN = {"outer": [0, 0], "inner": [0, 0, 2], "innermost": [0, 0, 2, 1], "beside": [0, 1], "": [0, 2]}
"""The place of what each fragment drew; the last one belongs to none."""


@pytest.fixture
def session() -> Any:
    storage, queue = MemoryFragmentStorage(), ForwardMsgQueue()
    for name, parent in (("outer", None), ("inner", "outer"), ("innermost", "inner"), ("beside", None)):
        storage.register(name, lambda: None, parent_fragment_id=parent)
    for name, path in DRAWN.items():
        message = ForwardMsg()
        message.delta.add_block.SetInParent()
        message.delta.fragment_id = name
        message.metadata.delta_path[:] = path
        queue.enqueue(message)
    return SimpleNamespace(_fragment_storage=storage, _browser_queue=queue)


def still_sent(session: Any, clear: Any, running: list[str] | None) -> list[str]:
    clear(session, running)
    return [message.delta.fragment_id for message in session._browser_queue.flush()]


@pytest.mark.parametrize(
    ("running", "kept"),
    [
        (["outer"], ["beside", ""]),
        (["inner"], ["outer", "beside", ""]),
        (["beside"], ["outer", "inner", "innermost", ""]),
        (None, []),
    ],
)
def test_what_was_drawn_within_a_fragment_is_dropped_with_it(
    running: list[str] | None, kept: list[str], session: Any
) -> None:
    drop_nested_with_outer()
    assert still_sent(session, AppSession._clear_queue, running) == kept


def test_streamlit_alone_still_needs_mending(session: Any) -> None:
    """When this fails, Streamlit has mended it, and `ui.shell.nested_fragments` can go."""
    assert still_sent(session, _clear_queue, ["outer"]) == ["inner", "innermost", "beside", ""]
