"""Requests to the process that owns a workspace: a request is a folder in the workspace, which the owner answers.

    requests/ID/asker.lock    locked while the asker waits for the answer or uses it; otherwise the folder is abandoned
    requests/ID/request.json  the request; the owner removes abandoned folders that have it
    requests/ID/taken         the owner is working on it
    requests/ID/answer.json   the answer, or a sentence on why it failed; its files are beside it

The asker holds the lock and removes the folder, so that withdrawn requests are not executed, and folders left by a kill
are removed.
"""

import fcntl
import json
import logging
import secrets
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..data.errors import RequestRefused, UserError, WorkspaceLocked
from ..data.json_types import checked
from .atomic_files import write_whole
from .ownership import is_held, is_locked
from .untrusted_json import read_json_object
from .worker_log import in_short
from .workspace_files import make_private_folder

log = logging.getLogger(__name__)
Fields = dict[str, Any]
_Result = TypeVar("_Result")
_ASKER, _REQUEST, _TAKEN, _ANSWER = "asker.lock", "request.json", "taken", "answer.json"
_ANSWER_SECONDS = 10.0
"""Timeout for the owner to accept a request; some programs answer none."""
_NO_ANSWER = "The program that holds the workspace gave no answer that can be read. Try again."
_POLL_SECONDS = 0.1
_ANSWER_PARTS = 5_000_000
"""Of a JSON answer: those about a selection grow with its domains."""


class OwnerEnded(Exception):
    """The owner ended before it answered: try to own the workspace again."""


@dataclass(frozen=True, slots=True)
class _Request:
    kind: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Answer:
    """The owner's answer, and the folder with its files, which is removed after the request."""

    fields: Fields
    folder: Path


def own_or_ask(own: Callable[[], _Result], ask: Callable[[WorkspaceLocked], _Result]) -> _Result:
    """The result of `own`, which opens the workspace's store; if another process holds it, the result of `ask`.

    Raises `WorkspaceLocked` if the owner does not answer.
    """
    deadline = time.monotonic() + _ANSWER_SECONDS
    while True:
        try:
            return own()
        except WorkspaceLocked as refusal:
            try:
                return ask(refusal)
            except OwnerEnded:
                if time.monotonic() > deadline:
                    raise refusal from None
        time.sleep(_POLL_SECONDS)


@contextmanager
def asked(workspace: Path, kind: str, fields: Fields, refusal: WorkspaceLocked) -> Iterator[Answer]:
    """The owner's answer to a request. Raises `RequestRefused` with the owner's message, `OwnerEnded`, or
    `WorkspaceLocked` (the text of `refusal`, and that there was no answer)."""
    folder = workspace / "requests" / secrets.token_hex(8)
    make_private_folder(folder.parent)
    folder.mkdir(mode=0o700)
    try:
        with open(folder / _ASKER, "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            write_whole(folder / _REQUEST, [json.dumps({"kind": kind, "fields": fields}).encode()])
            found = _wait_for_answer(workspace, folder, refusal)
            if not isinstance(found.get("answer"), dict):
                raise RequestRefused(str(found.get("sentence") or _NO_ANSWER))
            yield Answer(found["answer"], folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def answer_requests(workspace: Path, answer: Callable[[str, Fields, Path], Fields]) -> None:
    """Answer pending requests as the workspace's owner: `answer` gets kind, fields and the folder for files, and may
    raise `UserError`. Call this repeatedly."""
    for request in sorted((workspace / "requests").glob(f"*/{_REQUEST}")):
        folder = request.parent
        try:
            if not is_locked(folder / _ASKER):
                shutil.rmtree(folder, ignore_errors=True)
            elif not (folder / _ANSWER).exists():
                (folder / _TAKEN).touch()
                found = _answer(request, answer)
                write_whole(folder / _ANSWER, [json.dumps(found).encode()])
        except FileNotFoundError:
            continue  # withdrawn meanwhile
        except OSError as error:  # the disk is full, say: the asker keeps waiting, and the other requests are answered
            log.warning("The request %s was not answered (%s).", folder.name, error.strerror)


def _answer(request: Path, answer: Callable[[str, Fields, Path], Fields]) -> Fields:
    try:
        asked_for = checked(read_json_object(request), _Request, "The request")
        return {"answer": answer(asked_for.kind, asked_for.fields, request.parent)}
    except UserError as error:
        return {"sentence": str(error)}
    # The owner must continue with its own work: whatever failed, the asker gets a sentence and the log the details.
    except Exception as error:  # noqa: BLE001
        log.warning("The request %s failed:\n%s", request.parent.name, traceback.format_exc())
        return {
            "sentence": f"The program that holds the workspace could not answer ({in_short(error)}). Stop it or wait "
            "for it to end, then try again."
        }


def _wait_for_answer(workspace: Path, folder: Path, refusal: WorkspaceLocked) -> Fields:
    deadline = time.monotonic() + _ANSWER_SECONDS
    answer = folder / _ANSWER
    while not answer.exists():
        if not is_held(workspace) and not answer.exists():
            raise OwnerEnded
        if time.monotonic() > deadline and not (folder / _TAKEN).exists():
            raise WorkspaceLocked(f"{refusal} It is busy and has not answered; try again later.")
        time.sleep(_POLL_SECONDS)
    return read_json_object(answer, _ANSWER_PARTS)
