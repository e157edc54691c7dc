"""Message trees of Open Assistant: one conversation per tree, along the best-ranked replies.

A message has a text, a role and replies; in flat files it names its parent instead.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..data.errors import SourceUnreadable
from ..data.examples import Rejected
from .json_parsing import too_deep
from .records import RecordUnusable, SourceRecord, kind_of
from .table_json import as_json

_MOST_BYTES = 2 * 2**30


def best_thread(root: Any, notices: list[str]) -> list[dict[str, Any]]:
    """The messages from the root along the best-ranked replies. Raises `RecordUnusable` if a message is not an
    object."""
    thread: list[dict[str, Any]] = []
    message, others = root, 0
    while message is not None:
        if not isinstance(message, dict):
            raise RecordUnusable("wrong type", f"a message of the tree is {kind_of(message)}, not an object")
        thread.append({key: value for key, value in message.items() if key != "replies"})
        replies = message.get("replies") or []
        if not isinstance(replies, list):
            raise RecordUnusable("wrong type", f"replies is {kind_of(replies)}, not a list")
        kept = [reply for reply in replies if not (isinstance(reply, dict) and reply.get("deleted"))]
        others += max(0, len(kept) - 1)
        message = min(kept, key=_rank, default=None)
    if others:
        notices.append("a tree with several replies to one message, only the best-ranked is used")
    return thread


def join_messages(records: Iterable[SourceRecord | Rejected]) -> Iterator[SourceRecord | Rejected]:
    """Join single-message records by parent id: one record per tree, in the order of their roots.

    The original is a JSON object of the root's fields and the tree. A message without its parent is rejected. Raises
    `SourceUnreadable` if there are more messages than fit in memory.
    """
    messages: dict[str, SourceRecord] = {}
    size = 0
    for record in records:
        if isinstance(record, Rejected):
            yield record
            continue
        message_id = record.fields.get("message_id")
        size += len(record.original)
        if size > _MOST_BYTES:
            raise SourceUnreadable(
                f"The messages take more than {_MOST_BYTES:,} bytes. Split the file, keeping each tree in one part."
            )
        if message_id is None or str(message_id) in messages:
            found = "no message_id" if message_id is None else f"a second message {message_id}"
            yield RecordUnusable("missing field", found).at(record.line)
        else:
            messages[str(message_id)] = record
    children: dict[str, list[SourceRecord]] = {}
    for record in messages.values():
        children.setdefault(_parent(record), []).append(record)
    reached: set[str] = set()
    level = [record for record in messages.values() if not _parent(record)]
    while level:
        ids = [str(record.fields["message_id"]) for record in level]
        reached.update(ids)
        level = [child for message_id in ids for child in children.get(message_id, [])]
    for message_id, record in messages.items():
        if message_id not in reached:
            yield RecordUnusable("missing field", f"the file has no root above parent {_parent(record)}").at(
                record.line
            )
    for record in messages.values():
        if not _parent(record):
            yield _tree(record, children)


def _tree(root: SourceRecord, children: Mapping[str, list[SourceRecord]]) -> SourceRecord | Rejected:
    tree: dict[str, Any] = {**root.fields, "replies": []}
    level = [tree]
    try:
        for _ in range(1_000):
            if not level:
                fields = {**root.fields, "prompt": tree, "message_tree_id": root.fields["message_id"]}
                return SourceRecord(root.line, as_json(fields), fields)
            for message in level:
                message["replies"] = [{**r.fields, "replies": []} for r in children.get(str(message["message_id"]), [])]
            level = [reply for message in level for reply in message["replies"]]
    except RecordUnusable as unusable:
        return unusable.at(root.line)
    return too_deep().at(root.line)


def _parent(record: SourceRecord) -> str:
    parent = record.fields.get("parent_id")
    return "" if parent is None or parent == "" else str(parent)


def _rank(reply: Any) -> float:
    rank = reply.get("rank") if isinstance(reply, dict) else None
    return float(rank) if isinstance(rank, int | float) else float("inf")
