"""Asking the process that owns a workspace: a request is a folder in it, which the owner answers.

    requests/ID/asker.lock    locked while the asker waits for the answer or uses it; else the folder is abandoned
    requests/ID/request.json  what is asked for; an abandoned folder that has it is removed by the owner
    requests/ID/taken         the owner is at it
    requests/ID/answer.json   the answer, or the sentence that says why there is none; files of it lie beside

Whoever asks holds the lock and removes the folder: what was withdrawn is not done, and what a kill left behind goes.
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
from .atomic_files import write_whole
from .ownership import is_held, is_locked
from .worker_log import in_short

log = logging.getLogger(__name__)
Fields = dict[str, Any]
_Result = TypeVar("_Result")
_ASKER, _REQUEST, _TAKEN, _ANSWER = "asker.lock", "request.json", "taken", "answer.json"
_ANSWER_SECONDS = 10.0
"""How long the owner has to take a request up; it may be a program that answers none."""
_POLL_SECONDS = 0.1


class OwnerEnded(Exception):
    """The owner ended before it answered: ask to own the workspace again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the owner answered, and the folder where it put files; the folder goes when the request is over."""

    fields: Fields
    folder: Path


def own_or_ask(own: Callable[[], _Result], ask: Callable[[WorkspaceLocked], _Result]) -> _Result:
    """What `own` gives, which opens the workspace's store; where another process holds it, what `ask` gives.

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
    """The owner's answer to a request. Raises `RequestRefused` with its sentence, `OwnerEnded`, or `WorkspaceLocked`
    (what `refusal` says, and that nobody answered)."""
    folder = workspace / "requests" / secrets.token_hex(8)
    folder.mkdir(parents=True)
    try:
        with open(folder / _ASKER, "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            write_whole(folder / _REQUEST, [json.dumps({"kind": kind, "fields": fields}).encode()])
            found = _wait_for_answer(workspace, folder, refusal)
            if "sentence" in found:
                raise RequestRefused(found["sentence"])
            yield Answer(found["answer"], folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def answer_requests(workspace: Path, answer: Callable[[str, Fields, Path], Fields]) -> None:
    """Answer what others asked of this process, which owns the workspace: `answer` gets kind, fields and the folder
    for files, and may raise `UserError`. To be called over and over."""
    for request in sorted((workspace / "requests").glob(f"*/{_REQUEST}")):
        folder = request.parent
        if not is_locked(folder / _ASKER):
            shutil.rmtree(folder, ignore_errors=True)
        elif not (folder / _ANSWER).exists():
            try:
                (folder / _TAKEN).touch()
                found = _answer(request, answer)
                write_whole(folder / _ANSWER, [json.dumps(found).encode()])
            except OSError as error:  # withdrawn meanwhile, or the disk is full: the asker waits on, or has gone
                log.warning("The request %s was not answered (%s).", folder.name, error.strerror)


def _answer(request: Path, answer: Callable[[str, Fields, Path], Fields]) -> Fields:
    try:
        asked_for = json.loads(request.read_text(encoding="utf-8"))
        return {"answer": answer(asked_for["kind"], asked_for["fields"], request.parent)}
    except UserError as error:
        return {"sentence": str(error)}
    # The owner has work of its own that must go on: whatever broke, the asker gets a sentence and the log the rest.
    except Exception as error:
        log.warning("The request %s failed:\n%s", request.parent.name, traceback.format_exc())
        return {
            "sentence": f"The program that holds the workspace could not answer ({in_short(error)}). Stop it, or wait "
            "until it has ended, and try again."
        }


def _wait_for_answer(workspace: Path, folder: Path, refusal: WorkspaceLocked) -> Fields:
    deadline = time.monotonic() + _ANSWER_SECONDS
    answer = folder / _ANSWER
    while not answer.exists():
        if not is_held(workspace) and not answer.exists():
            raise OwnerEnded
        if time.monotonic() > deadline and not (folder / _TAKEN).exists():
            raise WorkspaceLocked(f"{refusal} It is busy and has not answered; ask again later.")
        time.sleep(_POLL_SECONDS)
    return dict(json.loads(answer.read_text(encoding="utf-8")))
