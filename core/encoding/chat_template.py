"""Finds where a chat template puts each turn, and which part of it the assistant writes.

The template is rendered as transformers does, and again with marks (`template_marks`) at each loop iteration and around
each text given to it. With the marks removed, both must be the same text; this detects misplaced marks. A reply begins
after the template's generation prompt and ends with its end of turn; what the template adds by itself, such as an empty
thought, is not part of it. A template may refuse a conversation, or hang: `template_process` runs this where it can be
killed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Any

from jinja2 import Template

from ..data.errors import TemplateFailed, UserError
from ..data.examples import Message, ToolCall
from .reply_spans import (
    EMPTY_THOUGHT,
    Block,
    Piece,
    SpecialTokens,
    block_of_turn,
    blocks_of,
    left_out,
    reply_spans,
    searched_pieces,
    segments_of,
    shared_prefix_length,
)
from .template_environment import template_environment
from .template_marks import (
    FIRST_PIECE,
    NONCHARACTERS,
    TURNS_END,
    mark,
    marking_template,
    names_read,
    read_marks,
)
from .template_turns import (
    Mark,
    TurnForm,
    chat_messages,
    folded_system,
    short_ids,
    template_turn,
    thought_keys,
    tool_descriptions,
    unmarked,
)
from .templates import DATE_FUNCTION, TurnPlace

Tools = Sequence[dict[str, Any]] | None

_NOT_SHOWN = "The chat template does not show where the reply begins."
_ANY_USER = [Message("user", "?")]
_ALL_ROLES = frozenset({"system", "user", "tool", "assistant"})
_ASSISTANT = frozenset({"assistant"})
_MARKINGS: tuple[tuple[frozenset[str], Callable[[str], str] | None], ...] = (
    (_ALL_ROLES, None),
    (_ALL_ROLES, str.rstrip),
    (_ALL_ROLES, lambda text: text.lstrip("\n").rstrip()),
    (_ALL_ROLES, str.strip),
    (_ALL_ROLES - {"user"}, str.strip),
    (_ASSISTANT, str.strip),
    (frozenset(), None),
)
"""Which roles' texts are marked, and which white space at a reply's edges is outside of its marks (for other texts all
of it, unless none is stripped). Tried in order until the marks change nothing: a template may strip a text, or test how
a user's text begins."""


@dataclass(frozen=True, slots=True)
class RenderedChat:
    """A conversation rendered by a chat template. `folded_system`: the system prompt is part of the user's turn."""

    text: str
    places: tuple[TurnPlace, ...]
    folded_system: bool = False

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields."""
        places = [place.to_fields() for place in self.places]
        return {"text": self.text, "places": places, "folded_system": self.folded_system}

    @classmethod
    def from_fields(cls, text: str, places: list[Any], folded_system: bool) -> "RenderedChat":
        """Reverse of `to_fields`."""
        return cls(text, tuple(map(TurnPlace.from_fields, places)), folded_system)


@dataclass(frozen=True, slots=True)
class _Trace:
    """The blocks of a rendered text, and the pieces of each turn found in it."""

    blocks: list[Block]
    pieces: dict[int, list[Piece]]
    roles: frozenset[str]


class ChatTemplate:
    """A compiled chat template.

    `variables` are the tokenizer's special tokens by name, `day` is the date for templates that ask for one.
    Raises `TemplateFailed` if the text is not a template. Only for the process that can be killed (`template_worker`):
    compiling computes constant expressions, and rendering runs the template.
    """

    def __init__(self, source: str, variables: dict[str, Any], specials: SpecialTokens, day: date) -> None:
        fixed = {DATE_FUNCTION: day.strftime}
        environment = template_environment()
        with _refusals():
            self._names = names_read(environment, source)
            self._marking = marking_template(environment, source, fixed)
            code: Any = environment.compile(source)
            self._plain = Template.from_code(environment, code, environment.make_globals(fixed))
        self._variables, self._specials = variables, specials
        self._openings: dict[Any, str] = {}

    def render(self, messages: Sequence[Message], tools: str) -> RenderedChat:
        """The rendered conversation, with the positions of its turns, numbered as in `messages`.

        Raises `TemplateFailed` if the template refuses, or does not show where a reply begins.
        """
        described = tool_descriptions(tools)
        numbered = chat_messages(messages)
        if any(NONCHARACTERS.search(message.text) for _, message in numbered):
            raise TemplateFailed("The conversation has noncharacters (U+FDD0 to U+FDDB), which are reserved.")
        folds = not self._form.has_system and numbered[0][1].role == "system"
        given = folded_system(numbered) if folds else numbered
        text, turns = self._text_and_turns([turn for _, turn in given], described)
        trace = self._trace(turns, described, text)
        if lost := _lost_calls(turns, trace):
            turns = [_with_calls_as_content(turn) if i in lost else turn for i, turn in enumerate(turns)]
            try:
                text = self._text(turns, described)
            except TemplateFailed as error:
                raise TemplateFailed(f"The chat template leaves out tool calls of turn {min(lost) + 1}.") from error
            trace = self._trace(turns, described, text)
        places = self._places(turns, described, text, trace)
        return RenderedChat(text, tuple(replace(place, turn=given[place.turn][0]) for place in places), folds)

    def _text_and_turns(self, turns: Sequence[Message], tools: Tools) -> tuple[str, Sequence[Message]]:
        """The text, and the turns given to the template: with shortened call ids if it requires them."""
        try:
            return self._text(turns, tools), turns
        except TemplateFailed:
            renamed = short_ids(turns)
            if renamed == list(turns):
                raise
            return self._text(renamed, tools), renamed

    # Where the turns are

    def _places(self, turns: Sequence[Message], tools: Tools, text: str, trace: _Trace) -> list[TurnPlace]:
        places: list[TurnPlace] = []
        reached = 0
        for index, turn in enumerate(turns):
            pieces = trace.pieces.get(index, [])
            if turn.role in trace.roles and _is_left_out(turn, pieces):
                raise TemplateFailed(f"The chat template leaves out turn {index + 1}, of role {turn.role}.")
            if turn.role == "tool" and not turn.content and not _has_own_text(trace.blocks, index, len(turns)):
                # An empty text has no marks; inside a reply's iteration it would be mistaken for part of that reply.
                raise TemplateFailed(f"The chat template does not show the place of turn {index + 1}, an empty answer.")
            if turn.role != "assistant":
                places.append(TurnPlace(index, turn.role, _written(pieces)))
                continue
            block = block_of_turn(trace.blocks, index, len(turns))
            if block is None:
                raise TemplateFailed(_NOT_SHOWN)
            spans, end_of_turn = reply_spans(
                text,
                segments_of(block, index),
                self._opening_of(turns, index, tools, text[block.start : block.end]),
                self._specials,
                index == len(turns) - 1,
                _unmarked_space(turn, pieces),
            )
            if spans and spans[0][0] < reached:
                raise TemplateFailed(_NOT_SHOWN)
            reached = spans[-1][1] if spans else reached
            places.append(TurnPlace(index, "assistant", spans, *left_out(text, pieces), end_of_turn))
        return places

    def _trace(self, turns: Sequence[Message], tools: Tools, text: str) -> _Trace:
        """The text's blocks and pieces, from the most complete marks that do not change it."""
        for roles, stripped in _MARKINGS:
            keys: list[tuple[int, str, str]] = []
            marked = read_marks(self._apply(self._marking, turns, tools, False, _marks(keys, roles, stripped)))
            if marked.text != text:
                continue
            blocks, pieces = blocks_of(marked, keys)
            if not roles:
                for index, turn in enumerate(turns):
                    block = block_of_turn(blocks, index, len(turns))
                    if block is not None and turn.role == "assistant":
                        pieces[index] = searched_pieces(text, block, index, turn.content)
            return _Trace(blocks, pieces, roles)
        raise TemplateFailed(_NOT_SHOWN)

    def _opening_of(self, turns: Sequence[Message], index: int, tools: Tools, block: str) -> Callable[[], str]:
        """Returns a function for what the template writes before the reply of turn `index`: rendered lazily for the
        first conversation of a kind, and again if it does not match."""

        def opening() -> str:
            before = turns[max(0, index - 2) : index]
            kind = (*((turn.role, bool(turn.tool_calls), bool(turn.thought)) for turn in before), bool(tools))
            known = self._openings.get(kind)
            if not (known and block.startswith(known)):
                known = self._opening(turns[:index], tools)
                self._openings.setdefault(kind, known)
            return known

        return opening

    def _opening(self, before: Sequence[Message], tools: Tools) -> str:
        """What the template writes between these turns and a reply's text."""
        try:
            opened = read_marks(self._apply(self._marking, before, tools, True, unmarked))
            ends = [at for number, at in opened.marks if number == TURNS_END]
            after_loop = opened.text[ends[-1] :] if ends else ""
            closed = after_loop or self._text(before, tools)
        except TemplateFailed:
            # Some templates refuse a generation prompt without turns: use the one after a user's turn.
            return self._header(before, tools) if before == _ANY_USER else self._opening(_ANY_USER, None)
        return after_loop or opened.text[shared_prefix_length(closed, opened.text) :] or self._header(before, tools)

    def _header(self, before: Sequence[Message], tools: Tools) -> str:
        """What precedes a reply's content in a template without a generation prompt; empty if that is not visible."""
        keys: list[tuple[int, str, str]] = []
        turns, index = [*before, Message("assistant", "?")], len(before)
        try:
            marked = read_marks(self._apply(self._marking, turns, tools, False, _marks(keys, _ASSISTANT, None)))
        except TemplateFailed:
            return ""
        blocks, pieces = blocks_of(marked, keys)
        block, start = block_of_turn(blocks, index, len(turns)), pieces[index][0].start
        if block is None or start is None:
            return ""
        return EMPTY_THOUGHT.sub("", marked.text[segments_of(block, index)[0].start : start])

    # How the template wants its messages

    @cached_property
    def _form(self) -> TurnForm:
        keys = thought_keys(self._names)
        system, user, reply = (Message(role, f"probe{role}") for role in ("system", "user", "assistant"))
        plain = TurnForm(keys)
        knows_system = "probesystem" in self._probe([system, user, reply], plain)
        has_system = knows_system or "probeuser" not in self._probe([user, reply], plain)
        call = ToolCall("probecall", '{"probekey": "probevalue"}', "probeid12")
        answer = Message("tool", "probetool", name=call.name, call_id=call.call_id)
        calling = [user, Message("assistant", "", tool_calls=(call,)), answer, reply]
        if "tool_calls" in self._names:
            for content in ("", None):
                for arguments in ("object", "text"):
                    form = TurnForm(keys, arguments, content, has_system)
                    if _writes_call(self._probe(calling, form)):
                        return form
        return TurnForm(keys, has_system=has_system)

    def _probe(self, turns: Sequence[Message], form: TurnForm) -> str:
        """The text of a few turns in a form; empty if the template refuses them."""
        try:
            return self._rendered(
                self._plain, [template_turn(turn, i, form) for i, turn in enumerate(turns)], None, False
            )
        except TemplateFailed:
            return ""

    # Rendering

    def _text(self, turns: Sequence[Message], tools: Tools) -> str:
        return self._apply(self._plain, turns, tools, False, unmarked)

    def _apply(self, template: Template, turns: Sequence[Message], tools: Tools, opens_reply: bool, marks: Mark) -> str:
        given = [template_turn(turn, index, self._form, marks) for index, turn in enumerate(turns)]
        return self._rendered(template, given, tools, opens_reply)

    def _rendered(self, template: Template, given: list[dict[str, Any]], tools: Tools, opens_reply: bool) -> str:
        with _refusals():
            return template.render(
                messages=given,
                tools=list(tools) if tools is not None else None,
                documents=None,
                add_generation_prompt=opens_reply,
                **self._variables,
            )


@contextmanager
def _refusals() -> Iterator[None]:
    """Turns anything that a template raises into `TemplateFailed`, except that memory ran out."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    # A template is a program that came with the model and may raise anything; the error becomes one row's reason.
    except Exception as error:
        raise TemplateFailed(f"The chat template refused the conversation: {str(error)[:200]}") from error


def _has_own_text(blocks: Sequence[Block], turn: int, turn_count: int) -> bool:
    """Whether the template writes something in a turn's own loop iteration."""
    block = block_of_turn(blocks, turn, turn_count)
    return block is not None and block.end > block.start


def _is_left_out(turn: Message, pieces: Sequence[Piece]) -> bool:
    """Whether the template writes nothing of a turn (of a reply: neither content nor calls)."""
    said = [piece for piece in pieces if piece.part in ("content", "call") and piece.given]
    is_lost = [piece.start is None and piece.end is None for piece in said]
    return bool(said) and (all(is_lost) if turn.role == "assistant" else any(is_lost))


def _unmarked_space(turn: Message, pieces: Sequence[Piece]) -> str:
    """White space at a reply's end that the marks of its content leave out."""
    given = next((piece.given for piece in pieces if piece.part == "content"), "")
    return turn.text[len(turn.text.rstrip()) :] if given == given.rstrip() else ""


def _written(pieces: Sequence[Piece]) -> tuple[tuple[int, int], ...]:
    """Spans of the pieces that the template wrote completely."""
    return tuple((piece.start, piece.end) for piece in pieces if piece.start is not None and piece.end is not None)


def _marks(keys: list[tuple[int, str, str]], roles: frozenset[str], stripped: Callable[[str], str] | None) -> Mark:
    """Marks for the texts of these roles; the owner of each is added to `keys`. `stripped`: the marked part of a
    reply."""

    def marked(message: Message, turn: int, part: str, text: str) -> str:
        inner = stripped if stripped is None or message.role == "assistant" else str.strip
        core = inner(text) if inner else text
        if message.role not in roles or not (core or part == "open"):
            return text
        number = FIRST_PIECE + 2 * len(keys)
        keys.append((turn, part, core))
        before, _, after = text.partition(core) if core else ("", "", "")
        return before + mark(number) + core + mark(number + 1) + after

    return marked


def _writes_call(text: str) -> bool:
    """Whether a probe's text has its call, not as a Python literal or an escaped string."""
    wrong = ("'probekey'", '\\"probekey', "None", "null")
    return "probecall" in text and "probevalue" in text and not any(sign in text for sign in wrong)


def _lost_calls(turns: Sequence[Message], trace: _Trace) -> set[int]:
    """Turns with calls that the template does not write."""
    if "assistant" not in trace.roles:
        return set()
    return {
        index
        for index, turn in enumerate(turns)
        if turn.tool_calls
        and any(piece.part == "call" and piece.start is None for piece in trace.pieces.get(index, []))
    }


def _with_calls_as_content(turn: Message) -> Message:
    return replace(turn, content=replace(turn, thought="").text, tool_calls=())
