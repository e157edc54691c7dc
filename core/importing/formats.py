"""The formats of fine-tuning records: which fields each needs, and how they become a conversation.

To add a format, add a line to `FORMATS` and its function to `conversations`.
"""

from typing import Any

from ..data.examples import Example, Message
from .conversations import (
    alpaca,
    has_markup,
    has_turns,
    marked_text,
    prompt_completion,
    question_answer,
    tree,
    turns_of,
)
from .fields import Fields, FormatField, RecordValues, SourceFormat
from .preference import chosen_side, is_preference_pair, join_labelled, preference_sides
from .records import RecordUnusable
from .tool_calls import is_absent, read_tools
from .trees import join_messages

MEDIA_FIELDS = ("image", "images", "image_path", "image_paths", "image_url", "image_urls", "image_file", "audio",
                "audios", "audio_path", "video", "videos", "video_path", "pixel_values")  # fmt: skip
"""Fields of rows with images, audio or video, which cannot be scored as text."""

NULL_WORDS = frozenset({"nan", "-nan", "none", "null", "n/a", "#n/a", "na", "<na>", "<null>", "<noinput>", "undefined"})
"""Lower-case words that other programs write for a missing value."""

_OFTEN_LEFT_OUT = ("system", "input", "context")


def read_example(
    source_format: SourceFormat | None,
    fields: Fields,
    allow_preference: bool = False,
    notices: list[str] | None = None,
) -> Example:
    """The conversation in a record. Raises `RecordUnusable` with the reason if there is none to score.

    `source_format` is None if no format fits the file. `allow_preference` also reads preference pairs, for users who
    mapped one of the two columns on purpose. `notices` collects warnings.
    """
    has_sides = source_format is not None and source_format.sides
    if not (allow_preference or has_sides) and is_preference_pair(fields):
        raise RecordUnusable("preference pair", "fields chosen and rejected")
    source_format, record = _checked_record(source_format, fields, notices)
    return _example(source_format, record, source_format.messages(record))


def read_pair(source_format: SourceFormat, fields: Fields, notices: list[str] | None = None) -> tuple[Example, Example]:
    """The chosen and the rejected conversation of a record, by a format that has `sides`. Raises `RecordUnusable`."""
    source_format, record = _checked_record(source_format, fields, notices)
    assert source_format.sides
    chosen, rejected = source_format.sides(record)
    return _example(source_format, record, chosen), _example(source_format, record, rejected)


def _checked_record(
    source_format: SourceFormat | None, fields: Fields, notices: list[str] | None
) -> tuple[SourceFormat, RecordValues]:
    found = ", ".join(fields) or "none"
    if source_format is None:
        raise RecordUnusable("missing field", f"no format fits; found {found}")
    for field in source_format.required:
        if not field.is_in(fields):
            raise RecordUnusable("missing field", f"no {' or '.join(field.names)}; found {found}")
    for name in MEDIA_FIELDS:
        if name in fields and fields[name] is not False and not is_absent(fields[name]):
            raise RecordUnusable("not text", f"field {name}")
    values = {field.name: field.value(fields) for field in source_format.fields}
    record = RecordValues(values, fields, [] if notices is None else notices)
    _check_verdict(record)
    return source_format, record


def _example(source_format: SourceFormat, record: RecordValues, said: list[Message]) -> Example:
    # Files write an empty system prompt or input to say that there is none.
    messages = tuple(message for message in said if message.content or message.role not in ("system", "context"))
    _check_conversation(messages)
    _look_for_unread(source_format, record)
    _look_for_null_words(record, messages)
    return Example(messages, read_tools(record["tools"]))


def is_verdict(value: Any) -> bool:
    """Whether a label may mark an answer as desirable or not (as in KTO), instead of naming a class."""
    return isinstance(value, bool | int) or (isinstance(value, str) and value.strip().lower() in ("true", "false"))


def format_named(name: str) -> SourceFormat | None:
    """The format with this name, or None."""
    return next((source_format for source_format in FORMATS if source_format.name == name), None)


def _check_verdict(record: RecordValues) -> None:
    label = record["label"]
    if not is_verdict(label):
        return
    if label is False or str(label).strip().lower() == "false":
        raise RecordUnusable("unwanted answer", f"label {label}")
    if label == 0:
        record.notices.append("a label 0, kept: only false marks an answer as unwanted")


def _check_conversation(messages: tuple[Message, ...]) -> None:
    if not any(message.role == "assistant" for message in messages):
        raise RecordUnusable("no assistant turn", f"turns by: {', '.join(m.role for m in messages) or 'nobody'}")
    scored = [message for message in messages if message.is_scored]
    if not scored:
        raise RecordUnusable("no scored turn", "every assistant turn has weight 0 or is marked as not trained on")
    if not scored[-1].text.strip():
        raise RecordUnusable("empty response")
    if not any(message.text.strip() for message in messages if message.role != "assistant"):
        raise RecordUnusable("empty prompt")


def _look_for_unread(source_format: SourceFormat, record: RecordValues) -> None:
    """Add a notice for text under a second name of a field: only the first is read."""
    for field in source_format.fields:
        read = field.found_in(record.fields)
        for name in field.all_names:
            value = record.fields.get(name)
            if name != read and isinstance(value, str) and value.strip() and value != record.fields[read]:
                record.notices.append(f"a field {name} that is ignored, because {read} is used")


def _look_for_null_words(record: RecordValues, messages: tuple[Message, ...]) -> None:
    for name, value in record.values.items():
        word = value.strip().lower() if isinstance(value, str) and len(value) < 20 else ""
        if word in NULL_WORDS and (name in _OFTEN_LEFT_OUT or word == "nan"):
            article = "an" if name[0] in "aeiou" else "a"
            record.notices.append(f"{article} {name} {word}, kept as text")
    if any(message.content in ("nan", "NaN") for message in messages) and not record.notices:
        record.notices.append("a turn nan, kept as text")


_SYSTEM = FormatField(
    ("system",),
    required=False,
    also=("system_prompt", "system_message", "system_instruction", "systemInstruction", "sys_prompt"),
)
_TOOLS = FormatField(("tools",), required=False, also=("functions",))
_LABEL = FormatField(("label",), required=False, also=("kto_tag",))
_WEIGHTS = FormatField(("weights",), required=False, also=("loss_mask", "turn_weights"))

_TURNS_ELSEWHERE = ("conversation", "dialogue", "dialog", "thread", "turns", "chat", "contents", "items", "data")

FORMATS = (
    SourceFormat(
        "messages",
        "OpenAI's chat format: messages of role and content (text or a list of parts); also Anthropic's and Gemini's.",
        (FormatField(("messages",), also=_TURNS_ELSEWHERE), _SYSTEM, _TOOLS, _LABEL, _WEIGHTS),
        turns_of("messages"),
        holds=has_turns("messages", _TURNS_ELSEWHERE),
    ),
    SourceFormat(
        "sharegpt",
        "ShareGPT conversations: turns of from (human, gpt, ...) and value, or alternating texts.",
        (FormatField(("conversations",)), _SYSTEM, _TOOLS, _LABEL, _WEIGHTS),
        turns_of("conversations"),
    ),
    SourceFormat(
        "alpaca",
        "Alpaca: an instruction, an optional input, and an output.",
        (
            FormatField(("instruction",)),
            FormatField(("input", "context"), required=False),
            FormatField(("output", "response"), also=("completion", "answer", "target", "solution", "outputs")),
            _SYSTEM,
            FormatField(("history",), required=False),
        ),
        alpaca,
    ),
    SourceFormat(
        "prompt-completion",
        "A prompt and its completion (or response), as text or as lists of messages.",
        (
            FormatField(("prompt",), also=("query", "problem", "inputs", "input", "user", "human")),
            FormatField(
                ("completion", "response"),
                also=("targets", "output", "generated_solution", "solution", "target", "answer", "assistant", "bot",
                      "outputs", "responses"),
            ),
            _SYSTEM,
            _TOOLS,
            _LABEL,
        ),
        prompt_completion,
    ),
    SourceFormat(
        "question-answer",
        "A question and its answer, optionally with a context, or with choices, which are listed below the question.",
        (
            FormatField(("question",), also=("question_stem",)),
            FormatField(
                ("answer",),
                also=("response", "answers", "answerKey", "answer_key", "answer_idx", "answer_index", "correct_answer",
                      "solution", "output", "completion", "cop"),
            ),
            FormatField(("context",), required=False),
            FormatField(("choices",), required=False, also=("options",)),
            _SYSTEM,
        ),
        question_answer,
    ),
    SourceFormat(
        "text",
        "A whole conversation in one text, in a known markup: ChatML, Llama, Gemma, Zephyr, ### Human:, and others.",
        (FormatField(("text",)), _SYSTEM, _LABEL),
        marked_text,
        holds=has_markup,
    ),
    SourceFormat(
        "tree",
        "Open Assistant's trees: a prompt with its replies; the best-ranked replies are read.",
        (FormatField(("message_tree_id",)), FormatField(("prompt",))),
        tree,
    ),
    SourceFormat(
        "tree-messages",
        "Open Assistant's messages, one per record, each with its parent's id: one row per tree.",
        (FormatField(("message_id",)), FormatField(("parent_id",)), FormatField(("role",)), FormatField(("text",))),
        tree,
        join=join_messages,
    ),
    SourceFormat(
        "preference",
        "Preference pairs: a chosen and a rejected answer to a prompt (text, turns, or the answers' common beginning), "
        "as for DPO. A pair is two rows.",
        (
            FormatField(("chosen",)),
            FormatField(("rejected",)),
            FormatField(("prompt",), required=False, also=("instruction", "question", "query")),
            FormatField(("input",), required=False),
            FormatField(("conversations",), required=False),
            FormatField(("history",), required=False),
            _SYSTEM,
            _TOOLS,
        ),
        chosen_side,
        sides=preference_sides,
    ),
    SourceFormat(
        "kto",
        "A prompt, a completion and a label (true: desirable), as for KTO: joined to preference pairs by equal prompt.",
        (FormatField(("prompt",)), FormatField(("completion",)), FormatField(("label",)),
         FormatField(("chosen",), required=False), FormatField(("rejected",), required=False), _SYSTEM, _TOOLS),
        chosen_side,
        join=join_labelled,
        sides=preference_sides,
    ),
)  # fmt: skip
"""All formats, the most specific first: if two fit equally well, detection takes the first."""

FIELD_NAMES = frozenset(name for source_format in FORMATS for field in source_format.fields for name in field.all_names)
"""All field names that any format reads."""
