"""What exactly is scored: a conversation becomes token ids, and which of them count.

Training and scoring both call `encode_examples`, so they mean the same tokens. The text is rendered once and
tokenised once; which tokens are scored comes from the places where the template put the assistant's turns, never
from searching the text for the response.
"""

import hashlib
import json
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import settings
from core.errors import CurationError, TemplateFailed
from core.examples import Example, Message

ENCODING_VERSION = 1
"""Part of every cache key: raise it whenever the same example would be encoded differently."""

TEMPLATES = {
    "chat": "the tokenizer's own chat template",
    "alpaca": "Stanford Alpaca's prompt: ### Instruction, ### Input, ### Response",
    "plain": "the prompt, a line break, the response",
}
_ALPACA_HEAD = (
    "Below is an instruction that describes a task{paired}. Write a response that appropriately completes the request."
)
_ALPACA_PAIRED = ", paired with an input that provides further context"


@dataclass(frozen=True, slots=True)
class EncodingSpec:
    """How text becomes tokens: everything that a loss depends on besides the model."""

    template: str
    max_length: int
    tokenizer_fingerprint: str
    version: int = ENCODING_VERSION

    @property
    def fingerprint(self) -> str:
        """Hex digest of all fields; part of the cache key of every loss."""
        return hashlib.blake2b(json.dumps(asdict(self), sort_keys=True).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a conversation, and a mask of the same length that is true where the token is scored.

    `scored[0]` is always false: nothing predicts the first token. Without a scored token, `reason` says why.
    """

    input_ids: NDArray[np.int32]
    scored: NDArray[np.bool_]
    truncated: bool
    reason: str | None = None

    @property
    def token_count(self) -> int:
        """Scored tokens."""
        return int(self.scored.sum())


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as text, with the character spans [start, end) that are the assistant's, end-of-turn included."""

    text: str
    spans: tuple[tuple[int, int], ...]


def encode_examples(examples: Sequence[Example], tokenizer: Any, spec: EncodingSpec) -> list[Encoded]:
    """Encode conversations with a fast transformers tokenizer; one result an example, in order.

    A conversation that the template refuses, or of which nothing is left to score, comes back with a reason.
    """
    rendered = [_render_or_reason(example, tokenizer, spec.template) for example in examples]
    texts = [item.text for item in rendered if isinstance(item, Rendered)]
    # verbose=False: a text longer than the model's window is cut below, so the tokenizer's warning misleads.
    tokens = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False) if texts else None
    encoded, position = [], 0
    for item in rendered:
        if isinstance(item, str):
            encoded.append(_unscorable(item))
            continue
        assert tokens is not None
        ids, offsets = tokens["input_ids"][position], tokens["offset_mapping"][position]
        encoded.append(_mask(ids, offsets, item.spans, tokenizer, spec.max_length))
        position += 1
    return encoded


def encode_example(example: Example, tokenizer: Any, spec: EncodingSpec) -> Encoded:
    """`encode_examples` for one conversation."""
    return encode_examples([example], tokenizer, spec)[0]


def render(example: Example, tokenizer: Any, template: str) -> Rendered:
    """The conversation as the model reads it. Raises `TemplateFailed` if the template refuses it.

    What follows the last assistant turn is left out: nothing there is scored, and nothing before depends on it.
    """
    last = max(i for i, message in enumerate(example.messages) if message.role == "assistant")
    messages = example.messages[: last + 1]
    if template == "chat":
        return _render_chat(messages, example.tools, tokenizer)
    end_of_turn = tokenizer.eos_token or ""
    turns = _alpaca_turns(messages) if template == "alpaca" else _plain_turns(messages)
    text, spans = "", []
    for piece, is_response in turns:
        if is_response:
            spans.append((len(text), len(text) + len(piece) + len(end_of_turn)))
            piece += end_of_turn
        text += piece
    return Rendered(text, tuple(spans))


def _render_or_reason(example: Example, tokenizer: Any, template: str) -> Rendered | str:
    try:
        return render(example, tokenizer, template)
    except TemplateFailed as error:
        return str(error)


def _unscorable(reason: str) -> Encoded:
    return Encoded(np.zeros(0, np.int32), np.zeros(0, np.bool_), False, reason)


def _mask(
    ids: list[int], offsets: list[tuple[int, int]], spans: Sequence[tuple[int, int]], tokenizer: Any, max_length: int
) -> Encoded:
    starts = np.array([start for start, _ in offsets], np.int64)
    ends = np.array([end for _, end in offsets], np.int64)
    # Some tokenizers leave white space out of offsets: an indent then has none of its own, and begins where the
    # token before it ends.
    previous_ends = np.concatenate([np.zeros(1, np.int64), np.maximum.accumulate(ends)])[:-1]
    starts = np.where(starts == ends, np.minimum(starts, previous_ends), starts)
    scored = np.zeros(len(ids), np.bool_)
    for start, end in spans:
        # A token that straddles the boundary holds response text, so it is scored.
        scored |= (ends > start) & (starts < end) & (ends > starts)
    input_ids = np.array(ids, np.int32)
    input_ids, scored = _exactly_one_bos(input_ids, scored, tokenizer)
    truncated = bool(scored[max_length:].any())
    input_ids, scored = input_ids[:max_length], scored[:max_length]
    scored[:1] = False
    reason = None if scored.any() else ("prompt fills the maximum length" if truncated else "response has no token")
    return Encoded(input_ids, scored, truncated, reason)


def _exactly_one_bos(
    input_ids: NDArray[np.int32], scored: NDArray[np.bool_], tokenizer: Any
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Templates differ in whether they write the BOS; a model trained with one must see one."""
    bos = tokenizer.bos_token_id
    if bos is None:
        return input_ids, scored
    while len(input_ids) > 1 and input_ids[0] == bos and input_ids[1] == bos:
        input_ids, scored = input_ids[1:], scored[1:]
    begins_with_bos = len(input_ids) > 0 and input_ids[0] == bos
    if not begins_with_bos and _adds_bos(tokenizer):
        input_ids = np.concatenate([np.array([bos], np.int32), input_ids])
        scored = np.concatenate([np.zeros(1, np.bool_), scored])
    return input_ids, scored


def _adds_bos(tokenizer: Any) -> bool:
    return bool(tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id])


# Alpaca and plain templates


def _alpaca_turns(messages: Sequence[Message]) -> Iterator[tuple[str, bool]]:
    """Pieces of text, each with whether it is a response. Source: Stanford Alpaca's prompt_no_input / prompt_input."""
    system = next((index for index, message in enumerate(messages) if message.role == "system"), None)
    has_context = any(message.role == "context" for message in messages)
    head = _ALPACA_HEAD.format(paired=_ALPACA_PAIRED if has_context else "")
    yield (head if system is None else messages[system].content or head), False
    headings = {"user": "### Instruction:", "context": "### Input:", "tool": "### Tool:"}
    for index, message in enumerate(messages):
        if message.role == "assistant":
            yield "\n\n### Response:\n", False
            yield message.content, True
        elif message.role in headings:
            yield f"\n\n{headings[message.role]}\n{message.content}", False
        elif index != system:
            yield f"\n\n{message.content}", False


def _plain_turns(messages: Sequence[Message]) -> Iterator[tuple[str, bool]]:
    for message in messages:
        yield message.content, message.role == "assistant"
        yield "\n", False


# Chat templates


def _render_chat(messages: Sequence[Message], tools: str, tokenizer: Any) -> Rendered:
    turns = _chat_messages(messages)
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
    return Rendered(full, tuple(spans))


def _shared_prefix_length(first: str, second: str) -> int:
    if second.startswith(first):
        return len(first)
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def _chat_messages(messages: Sequence[Message]) -> list[dict[str, str]]:
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
    try:
        with _time_limit(settings.number("template_seconds")):
            rendered = tokenizer.apply_chat_template(
                turns, tools=tools, tokenize=False, add_generation_prompt=opens_reply
            )
            return str(rendered)
    except CurationError:
        raise
    # A template is a program that came with the model: it may raise anything at all, and each is one row's reason.
    except Exception as error:
        raise TemplateFailed(f"The chat template refused the conversation: {str(error)[:200]}") from error


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Stop a template that does not end. Signals reach the main thread only, which is where workers encode."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(_signal: int, _frame: FrameType | None) -> None:
        raise TemplateFailed(f"The chat template took longer than {seconds:g} seconds for one conversation.")

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
