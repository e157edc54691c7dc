"""Renders chat templates in processes that can be killed, a few of which are kept warm.

A template is a program that came with a model. A loop in it could be interrupted in this process; one call of C code,
such as a comparison of nested lists, could not.
"""

import atexit
import json
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from datetime import date
from functools import lru_cache
from typing import Any

from ..data import settings
from ..data.errors import TemplateFailed, TemplateStopped
from ..data.examples import Message
from ..system.memory_limit import warn_if_unlimited
from ..system.program import HOME, module_command
from .chat_template import RenderedChat
from .template_worker import OUT_OF_TIME

Conversation = tuple[Sequence[Message], str]
"""Messages, and the tools as JSON text."""

_AT_ONCE = 64
"""Conversations per request: few enough that little is rendered again after a template was stopped."""
_KEPT = 4
"""Idle processes that are kept: several threads of the dashboard may render at once."""
_TEMPLATES_KEPT = 16
"""Templates that a process compiles before it is replaced."""
_STARTING_SECONDS, _PATIENCE = 30.0, 10
"""The worker ends by itself after the allowed seconds of computing. One that does not even compute (it was stopped, or
the machine is overloaded) is killed after ten times as long, and the time to start."""

_idle: list["_TemplateProcess"] = []


@lru_cache(maxsize=_TEMPLATES_KEPT)
def described_template(tokenizer: Any, source: str, day: date) -> str:
    """A chat template with the special tokens of a tokenizer, as the JSON text that `rendered_chats` needs."""
    # All special tokens: many tokenizers do not name their end-of-turn token.
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    longest_first = sorted(added.union(tokenizer.all_special_tokens), key=lambda token: (-len(token), token))
    begin, end = tokenizer.bos_token or "", tokenizer.eos_token or ""
    return json.dumps(
        {
            "source": source,
            "variables": dict(tokenizer.special_tokens_map),
            "pattern": "|".join(map(re.escape, longest_first)) or r"(?!)",
            "begin": "" if begin == end else begin,
            "end": "" if begin == end else end,
            "day": day.isoformat(),
        }
    )


def rendered_chats(template: str, conversations: Sequence[Conversation]) -> Iterator[RenderedChat | TemplateFailed]:
    """For each conversation its rendering by a `described_template`, or why it is refused: `TemplateStopped` if it used
    up its time or ended the process."""
    done, was_lost = 0, False
    while done < len(conversations):
        found, status = _render(template, conversations[done : done + (1 if was_lost else _AT_ONCE)])
        yield from found
        done += len(found)
        if status is None:
            was_lost = False
        elif status == -OUT_OF_TIME or was_lost:
            yield _stopped(status)
            done, was_lost = done + 1, False
        else:
            # Somebody else may have killed the process: the conversation that it was at gets another one.
            was_lost = True


def _stopped(status: int) -> TemplateStopped:
    seconds = settings.number("template_seconds")
    if status == -OUT_OF_TIME:
        return TemplateStopped(f"The chat template took longer than {seconds:g} seconds for one conversation.")
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    return TemplateStopped(f"The chat template ended the process that renders it, or made it hang ({how}).")


def _render(
    template: str, conversations: Sequence[Conversation]
) -> tuple[list[RenderedChat | TemplateFailed], int | None]:
    """Renderings, and None; if the process ended, those before the conversation that it was at, and its status."""
    process = _taken()
    found: list[RenderedChat | TemplateFailed] = []
    try:
        process.ask(template, conversations)
        for _ in conversations:
            found.append(process.answer())
    except (OSError, EOFError):
        return found, process.end()
    except BaseException:  # answers that nobody reads would be taken for those to the next request
        process.end()
        raise
    if len(_idle) < _KEPT and process.has_room:
        _idle.append(process)
    else:
        process.end()
    return found, None


def _taken() -> "_TemplateProcess":
    """A warm process that no other thread uses, or a new one."""
    while True:
        try:
            process = _idle.pop()
        except IndexError:
            return _TemplateProcess()
        if process.is_alive:
            return process
        process.end()


@atexit.register
def _end_idle() -> None:
    while _idle:
        _idle.pop().end()


class _TemplateProcess:
    """A `template_worker`, which answers one request at a time."""

    def __init__(self) -> None:
        warn_if_unlimited()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                module_command("encoding.template_worker"),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd=HOME,
                start_new_session=True,  # so that Ctrl-C prints no traceback of a child
            )
        self._answers = self._socket.makefile("rb")
        self._numbers: dict[str, int] = {}

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def has_room(self) -> bool:
        """Whether it may compile another template."""
        return len(self._numbers) < _TEMPLATES_KEPT

    def ask(self, template: str, conversations: Sequence[Conversation]) -> None:
        """Send conversations, each of which is to be answered. Raises `OSError` if the process does not take them."""
        seconds = settings.number("template_seconds")
        is_known = template in self._numbers
        request = {
            "seconds": seconds,
            "megabytes": settings.integer("template_megabytes"),
            "template": self._numbers.setdefault(template, len(self._numbers)),
            "description": None if is_known else json.loads(template),
            "conversations": [
                [[message.to_fields() for message in messages], tools] for messages, tools in conversations
            ],
        }
        self._socket.settimeout(_STARTING_SECONDS + _PATIENCE * seconds)
        self._socket.sendall(json.dumps(request).encode() + b"\n")

    def answer(self) -> RenderedChat | TemplateFailed:
        """The next answer. Raises `EOFError` if the process ended, `OSError` if none comes."""
        line = self._answers.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        answer = json.loads(line)
        if "refused" in answer:
            return TemplateFailed(answer["refused"])
        return RenderedChat.from_fields(**answer)

    def end(self) -> int:
        """Kill it if it has not ended; its status."""
        self._process.kill()
        self._answers.close()
        self._socket.close()
        return int(self._process.wait())
