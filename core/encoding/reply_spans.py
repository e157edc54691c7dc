"""Converts a template's marks into spans: which characters of a rendered conversation the assistant writes.

Pure: needs only the marked text. A turn's block is one iteration of the template's loop over the messages. Everything
in a block belongs to its turn, so text of another turn cannot be mistaken for a reply.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .template_marks import FIRST_PIECE, STEP, STEPS_END, TURN, TURNS_END, Marked

_TAGS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<|channel>thought", "<channel|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("◁think▷", "◁/think▷"),
)
_NAMED_THOUGHT = re.compile(
    "|".join(rf"\s*(?:{re.escape(opened)})\s*{re.escape(closed)}\s*" for opened, closed in _TAGS)
)
"""An empty thought, as templates write it if the record has none."""
EMPTY_THOUGHT = re.compile(
    rf"""{_NAMED_THOUGHT.pattern} | \s*(?:<([\w-]+)>\s*</\1> | \[(\w+)\]\s*\[/\2\] | <\|([\w-]+)\|>\s*<\|/\3\|>
    | <\|START_(\w+)\|>\s*<\|END_\4\|> | <\|(\w+)_start\|>\s*<\|\5_end\|>
    | <\|(?:begin|start)_of_(\w+)\|>\s*<\|end_of_\6\|>)\s*""",
    re.VERBOSE,
)
"""The same in any pair of tags, if text follows: without text, the pair may be the reply itself."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A text given to the template, found in its output: the positions of its marks, None for a missing mark."""

    part: str
    given: str
    start: int | None
    end: int | None


@dataclass(slots=True)
class _Event:
    """A mark within a block: a step of an inner loop (turn None), or the start or end of a turn's piece."""

    at: int
    turn: int | None = None
    part: str = ""


@dataclass(slots=True)
class Block:
    """A range [start, end) of the output with its marks: one iteration of an outermost loop, or the text between such
    loops. `loop` is the loop's number, None between loops."""

    start: int
    loop: int | None
    end: int = 0
    events: list[_Event] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part [start, end) of a block that belongs to one turn. `begins_shared` and `ends_shared`: no mark of the
    template separates it from another turn's text."""

    start: int
    end: int
    events: tuple[tuple[int, str], ...]
    begins_shared: bool = False
    ends_shared: bool = False


def blocks_of(marked: Marked, pieces: Sequence[tuple[int, str, str]]) -> tuple[list[Block], dict[int, list[Piece]]]:
    """The output's blocks in order, and the pieces of each turn. `pieces` gives turn, part and text of each pair of
    marks, in the order of their numbers."""
    loop = 0
    block = Block(0, None)
    blocks = [block]
    places: dict[int, list[int | None]] = {}
    for number, at in marked.marks:
        if number in (TURN, TURNS_END):
            block.end = at
            block = Block(at, loop if number == TURN else None)
            loop += number == TURNS_END
            blocks.append(block)
        elif number in (STEP, STEPS_END):
            block.events.append(_Event(at))
        else:
            index, is_end = divmod(number - FIRST_PIECE, 2)
            turn, part, _ = pieces[index]
            place = places.setdefault(index, [None, None])
            if place[is_end] is None:
                place[is_end] = at
                block.events.append(_Event(at, turn, part))
    block.end = len(marked.text)
    found: dict[int, list[Piece]] = {}
    for index, (turn, part, given) in enumerate(pieces):
        start, end = places.get(index, [None, None])
        found.setdefault(turn, []).append(Piece(part, given, start, end))
    return blocks, found


def block_of_turn(blocks: Sequence[Block], turn: int, turn_count: int) -> Block | None:
    """The block of a turn: the one with its marks, else the loop iteration at its index."""
    for block in blocks:
        if any(event.turn == turn for event in block.events):
            return block
    loops: dict[int, list[Block]] = {}
    for block in blocks:
        if block.loop is not None:
            loops.setdefault(block.loop, []).append(block)
    written = [passes for passes in loops.values() if any(block.end > block.start for block in passes)]
    # The loop over the messages is the one with the most marked turns; a system turn may precede it.
    main = max(written, key=lambda passes: sum(bool(_turns_in(block)) for block in passes), default=None)
    if main is None or not turn_count - 1 <= len(main) <= turn_count:
        return None
    place = turn - (turn_count - len(main))
    return main[place] if place >= 0 else None


def _turns_in(block: Block) -> set[int]:
    return {event.turn for event in block.events if event.turn is not None}


def segments_of(block: Block, turn: int) -> list[Segment]:
    """The parts of a block that belong to a turn; other turns' texts are cut out at the nearest inner-loop step."""
    segments: list[Segment] = []
    start, begins_shared, inside_other = block.start, False, False
    own: list[tuple[int, str]] = []
    step: int | None = None
    for event in block.events:
        if event.turn is None:
            step = event.at
            if inside_other:
                start, begins_shared, inside_other = event.at, False, False
        elif event.turn == turn:
            own.append((event.at, event.part))
            step, inside_other = None, False
        else:
            if own:
                end = event.at if step is None else step
                segments.append(Segment(start, end, tuple(own), begins_shared, step is None))
                own = []
            start, begins_shared, inside_other, step = event.at, True, True, None
    if own or (not segments and not inside_other and not _turns_in(block)):
        segments.append(Segment(start, block.end, tuple(own), begins_shared))
    return segments


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Special tokens of a tokenizer: a pattern that matches each, and its BOS and EOS text, empty if it has none, or
    uses the same token for both."""

    pattern: re.Pattern[str]
    begin: str = ""
    end: str = ""


def reply_spans(
    text: str,
    segments: Sequence[Segment],
    opening: Callable[[], str],
    specials: SpecialTokens,
    is_last: bool,
    own_space: str = "",
) -> tuple[tuple[tuple[int, int], ...], int | None]:
    """Spans [start, end) of a reply, given its segments, its end of turn included; and where the end of turn begins in
    the last span, None if there is none.

    `opening` returns what the template writes to open this reply; `is_last`: no turn follows; `own_space`: white space
    at the reply's end that its marks leave out.
    """
    spans = []
    end_of_turn = None
    opener = specials.pattern.match(opening()) if segments else None
    for number, segment in enumerate(segments):
        start = _later_start(segment) if number else _start(text, segment, opening())
        last, part = segment.events[-1] if segment.events else (start, "")
        after = max(start, last)
        end, closing = _end(text, after, segment, part, specials, opener[0] if opener else "")
        if number == len(segments) - 1:
            if closing is None and not segment.ends_shared:
                end, closing = _late_end(text, end, segment, specials, is_last)
            is_complete = sum(inner == "content" for _, inner in segment.events) % 2 == 0
            if part == "content" and is_complete:
                closing = after + (len(own_space) if text.startswith(own_space, after) else 0)
            end_of_turn = closing if closing is not None and start <= closing < end else None
        if end > start:
            spans.append((start, end))
    return tuple(spans), end_of_turn


def _start(text: str, segment: Segment, opening: str) -> int:
    """Where the reply begins: after its opening and after an empty thought."""
    place, part = segment.events[0] if segment.events else (segment.end, "")
    head = text[segment.start : place]
    if segment.begins_shared:
        found = head.rfind(opening) if opening else -1
        return segment.start + found + len(opening) if found >= 0 else place
    empty = (EMPTY_THOUGHT if segment.events else _NAMED_THOUGHT).search(head)
    after_empty = segment.start + empty.end() if empty else 0
    found = head.find(opening) if opening else -1
    if found >= 0:
        return max(segment.start + found + len(opening), after_empty)
    shared = shared_prefix_length(opening, head)
    if part == "open":
        # The record's thought begins with a tag, which the prompt may already open.
        inside = next((at for at, inner in segment.events if inner != "open"), segment.end)
        while inside < segment.end and text[inside].isspace():
            inside += 1
        shared = shared_prefix_length(opening, text[segment.start : inside])
        return max(place, segment.start + _whole_tags(text[segment.start : segment.start + shared]))
    if part == "content" or (part == "thought" and not opening):
        return place
    return max(segment.start + _whole_tags(head[:shared]), after_empty)


def _later_start(segment: Segment) -> int:
    place, part = segment.events[0]
    return segment.start if part == "call" else place


def _whole_tags(text: str) -> int:
    """Length of a text without an incomplete tag at its end."""
    opened = text.rfind("<")
    return opened if opened >= 0 and ">" not in text[opened:] else len(text)


def _end(
    text: str, after: int, segment: Segment, part: str, specials: SpecialTokens, opener: str
) -> tuple[int, int | None]:
    """Where the reply ends, and where the special tokens begin that end it, the first ones after its text; None if none
    do. `opener` opens a turn; at the end it belongs to the next turn.

    Calls, and replies without content, may contain special tokens: they end with the last one of the segment. If no
    special token ends a reply, it ends with everything that the template writes after the text, such as a line break.
    """
    rest = text[after : segment.end]
    found = [token for token in specials.pattern.finditer(rest) if token[0] != specials.begin]
    if len(found) > 1 and found[-1][0] == opener and found[-1].start() == found[-2].end():
        rest = rest[: found.pop().start()]
    if part != "content" and not segment.ends_shared:
        found = found[-1:] if found and not rest[found[-1].end() :].replace(specials.begin, "").strip() else []
    if found:
        end = found[0].end()
        for token in found[1:]:
            end = token.end() if token.start() == end else end
        return after + end, after + found[0].start()
    if segment.ends_shared:
        return after, None
    return after + (len(rest.rstrip()) or len(rest)), None


def _late_end(text: str, end: int, segment: Segment, specials: SpecialTokens, is_last: bool) -> tuple[int, int | None]:
    """The end, moved past an end of turn that the template writes after its loop or before the next turn, and where
    that begins, None if there is none."""
    place = segment.end
    while place < len(text) and text[place].isspace():
        place += 1
    found = specials.pattern.match(text, place)
    if found is None or (not is_last and found[0] != specials.end):
        return end, None
    return found.end(), place


def left_out(text: str, pieces: Sequence[Piece]) -> tuple[int, int]:
    """Characters of a reply's thought and content, and how many of them the template omitted.

    If the template cut the beginning of a text, the part before the end mark that matches the record counts as written.
    """
    length = missing = 0
    for piece in pieces:
        if piece.part not in ("thought", "content"):
            continue
        length += len(piece.given.strip())
        if piece.start is None and piece.end is None:
            missing += len(piece.given.strip())
        elif piece.start is None:
            before = text[max(0, (piece.end or 0) - len(piece.given)) : piece.end]
            missing += len(piece.given) - shared_prefix_length(piece.given[::-1], before[::-1])
        elif piece.end is None:
            missing += len(piece.given) - shared_prefix_length(piece.given, text[piece.start :])
    return length, missing


def searched_pieces(text: str, block: Block, turn: int, contents: str) -> list[Piece]:
    """A turn's content, searched only in its own block, for templates that tolerate no marks around texts."""
    core = contents.strip()
    at = text.rfind(core, block.start, block.end) if core else -1
    if at < 0:
        return [Piece("content", core, None, None)] if core else []
    block.events = sorted(
        [*block.events, _Event(at, turn, "content"), _Event(at + len(core), turn, "content")],
        key=lambda event: event.at,
    )
    return [Piece("content", core, at, at + len(core))]


def shared_prefix_length(first: str, second: str) -> int:
    """Length of the common prefix of two texts."""
    if second.startswith(first):
        return len(first)
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
