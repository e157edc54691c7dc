"""Where a chat template puts the assistant's turns, found by rendering turn by turn; a template may refuse, or hang."""

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from core import settings
from core.errors import CurationError, TemplateFailed, TemplateTooSlow
from core.examples import Message
from core.memory_limit import memory_limit
from core.time_limit import time_limit

_TOO_SLOW = "The chat template took longer than {:g} seconds for one conversation."


def render_chat(messages: Sequence[Message], tools: str, tokenizer: Any) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The conversation as the tokenizer's chat template writes it, and the character spans [start, end) of the
    assistant's turns, end-of-turn included.

    Raises `TemplateFailed` if the template refuses, does not end, or does not show where a reply begins.
    """
    turns = chat_messages(messages)
    tool_list = _parsed_tools(tools)

    def text_of(count: int, opens_reply: bool = False) -> str:
        return _apply_template(tokenizer, turns[:count], tool_list, opens_reply)

    def opening(index: int) -> str:
        """The text up to where the reply of turn `index` begins, as the template writes it before a reply is there."""
        opened = text_of(index, opens_reply=True) if index else ""
        if index and opened != text_of(index):
            return opened
        # A template may not open replies at all: what two different replies have before them is the prompt.
        one, other = (
            _apply_template(tokenizer, [*turns[:index], {"role": "assistant", "content": text}], tool_list, False)
            for text in ("0", "1")
        )
        return one[: _shared_prefix_length(one, other)]

    full = text_of(len(turns))
    spans = []
    for index, turn in enumerate(turns):
        if turn["role"] != "assistant":
            continue
        opened = opening(index)
        start = _shared_prefix_length(opened, full)
        # Some templates open a reply with text (an empty thought, say) that a finished turn does not have: what
        # both share is the prompt, as long as it goes on past the turns before.
        if start < len(opened) and start <= _shared_prefix_length(text_of(index), full):
            raise TemplateFailed("The chat template does not show where the reply begins.")
        closed = full if index == len(turns) - 1 else text_of(index + 1)
        end = _end_of_turn(closed, start, tokenizer) if full.startswith(closed) else None
        spans.append((start, end or _first_special(full, start, tokenizer)))
    return full, tuple(spans)


def _shared_prefix_length(first: str, second: str) -> int:
    if second.startswith(first):
        return len(first)
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def chat_messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Messages in the roles that chat templates know: `context` ends the user's turn."""
    turns: list[dict[str, str]] = []
    for message in messages:
        if message.role == "context" and turns and turns[-1]["role"] == "user":
            turns[-1]["content"] += "\n" + message.content
        else:
            turns.append({"role": "user" if message.role == "context" else message.role, "content": message.content})
    return turns


def _parsed_tools(tools: str) -> list[Any] | None:
    if not tools:
        return None
    try:
        parsed = json.loads(tools)
    except ValueError as error:
        raise TemplateFailed("The row's tools are not JSON.") from error
    return parsed if isinstance(parsed, list) else [parsed]


def _end_of_turn(text: str, start: int, tokenizer: Any) -> int:
    """Where the turn that begins at `start` and closes `text` ends: with its special token.

    The template's line break after an end-of-turn token is nobody's to predict. Without a special token at its end,
    the whole text belongs to the turn.
    """
    ends = [found.end() for found in _special_tokens(tokenizer).finditer(text, start)]
    return ends[-1] if ends and not text[ends[-1] :].strip() else len(text)


def _first_special(text: str, start: int, tokenizer: Any) -> int:
    """End of the first special token from `start` on, or of the text."""
    found = _special_tokens(tokenizer).search(text, start)
    return found.end() if found else len(text)


@lru_cache(maxsize=4)
def _special_tokens(tokenizer: Any) -> re.Pattern[str]:
    """Matches every special token. Many a tokenizer does not list its end-of-turn among those it names."""
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    longest_first = sorted(added.union(tokenizer.all_special_tokens), key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _apply_template(tokenizer: Any, turns: list[dict[str, str]], tools: list[Any] | None, opens_reply: bool) -> str:
    seconds, megabytes = settings.number("template_seconds"), settings.integer("template_megabytes")
    try:
        with time_limit(seconds, TemplateTooSlow(_TOO_SLOW.format(seconds))), memory_limit(megabytes * 2**20):
            rendered = tokenizer.apply_chat_template(
                turns, tools=tools, tokenize=False, add_generation_prompt=opens_reply
            )
            return str(rendered)
    except CurationError:
        raise
    except MemoryError as error:
        raise TemplateFailed(f"The chat template took more than {megabytes} MB for one conversation.") from error
    # A template is a program that came with the model: it may raise anything at all, and each is one row's reason.
    except Exception as error:
        raise TemplateFailed(f"The chat template refused the conversation: {str(error)[:200]}") from error
