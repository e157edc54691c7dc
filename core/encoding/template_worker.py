"""The process that renders chat templates, which are programs that came with a model; `template_process` starts it.

Standard input is a socket: a JSON request per line is read from it, and a line per conversation written to it. Only
Jinja is imported, so that it starts quickly. Nobody needs to stop it: the operating system ends it when a conversation
has used up its time, even inside a single call of C code, where Python hears no signal. It also ends when its input
does, so it outlives its parent by the time of one conversation at most.
"""

import json
import logging
import re
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

from ..data.errors import TemplateFailed, UserError
from ..data.examples import Message
from ..system.memory_limit import memory_limit
from .chat_template import ChatTemplate, RenderedChat
from .reply_spans import SpecialTokens

OUT_OF_TIME = signal.SIGPROF
"""The signal that ends this process when a conversation has used up its time."""
_MOST_ADDED, _MOST_TIMES = 2**20, 16
"""A text may have 16 times the characters of its conversation and a million more: it will be tokenised."""


def main() -> int:
    """Answer requests until the input ends."""
    signal.signal(OUT_OF_TIME, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {OUT_OF_TIME})
    logging.disable()  # the parent says that there is no memory limit
    templates = _Templates()
    with socket.socket(fileno=sys.stdin.fileno()) as parent, parent.makefile("rb") as requests:
        try:
            for line in requests:
                for answer in templates.answers(json.loads(line)):
                    parent.sendall(json.dumps(answer).encode() + b"\n")
        except ConnectionError:  # the parent ended without reading all answers
            return 0
    return 0


class _Templates:
    """The parent's templates, by the numbers that it gave them."""

    def __init__(self) -> None:
        self._described: dict[int, dict[str, Any]] = {}
        self._compiled: dict[int, ChatTemplate] = {}

    def answers(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """For each conversation the fields of its `RenderedChat`, or why it is refused."""
        number, megabytes = request["template"], request["megabytes"]
        if request["description"]:
            self._described[number] = request["description"]
        for fields, tools in request["conversations"]:
            messages = [Message.from_fields(message) for message in fields]
            try:
                with _limits(request["seconds"], megabytes):
                    template = self._template(number)
                with _limits(request["seconds"], megabytes):
                    chat = template.render(messages, tools)
                _check_length(chat, messages, tools)
                yield chat.to_fields()
            except UserError as error:
                yield {"refused": str(error)}
            except MemoryError:
                yield {"refused": f"The chat template took more than {megabytes} MB for one conversation."}

    def _template(self, number: int) -> ChatTemplate:
        if number not in self._compiled:
            self._compiled[number] = _compiled(**self._described[number])
        return self._compiled[number]


def _compiled(source: str, variables: dict[str, Any], pattern: str, begin: str, end: str, day: str) -> ChatTemplate:
    specials = SpecialTokens(re.compile(pattern), begin, end)
    return ChatTemplate(source, variables, specials, date.fromisoformat(day))


@contextmanager
def _limits(seconds: float, megabytes: int) -> Iterator[None]:
    """Within this context, the process ends after some seconds of computing, and memory is limited.

    Computing instead of waiting, so that it does not depend on how busy the machine is whether a row is refused.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        with memory_limit(megabytes * 2**20):
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _check_length(chat: RenderedChat, messages: Sequence[Message], tools: str) -> None:
    if len(chat.text) <= _MOST_ADDED:
        return
    given = len(tools) + sum(len(message.text) for message in messages)
    if len(chat.text) > _MOST_ADDED + _MOST_TIMES * given:
        raise TemplateFailed(f"The chat template wrote {len(chat.text):,} characters for a conversation of {given:,}.")


if __name__ == "__main__":
    sys.exit(main())
