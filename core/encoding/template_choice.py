"""Chooses the template for a base: its own, the reference's, a built-in one, or a file."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ..data.errors import ModelUnusable, PathRefused
from ..models.folder_check import read_json
from ..models.resolving import PROVENANCE, ModelSpec
from ..system.paths import allowed_path, named_path
from .encoding_spec import EncodingSpec
from .templates import TEMPLATES

_LARGEST_TEMPLATE = 2**20  # bytes: the longest real templates have 20 kB
_FILE_ENDINGS = (".jinja", ".jinja2", ".j2", ".txt")
_OF_A_PROCESSOR = "chat_template.json"
"""Where image-text processors keep their template; the tokenizer does not read it."""
AUTO, REFERENCE = "auto", "reference"
CHOICES = {
    AUTO: "the base's own chat template, else the reference's, else Alpaca's",
    **TEMPLATES,
    REFERENCE: "the reference's chat template",
}
"""The choices besides a file, with their descriptions."""


@dataclass(frozen=True, slots=True)
class TemplateChoice:
    """A template: a name in `templates.TEMPLATES`, the text if it is not the base's own, and a sentence that tells the
    user which one is used."""

    name: str
    source: str | None
    sentence: str


def choose_template(wanted: str, base: ModelSpec, reference: ModelSpec | None) -> TemplateChoice:
    """Resolve a user's choice for a base and its reference, if there is one.

    Raises `ModelUnusable` if there is no such template, `PathRefused` for an invalid file.
    """
    own = chat_template_text(Path(base.path))
    if wanted == AUTO:
        return _automatic(base, reference, own)
    if wanted == REFERENCE:
        taken = _of_reference(reference)
        if taken is None:
            raise ModelUnusable("The reference has no chat template. Choose another template, or a file.")
        return taken
    if wanted == "chat":
        if own is None:
            raise ModelUnusable(
                f"The tokenizer of {base.label!r} has no chat template. Choose the template chatml, alpaca "
                "or plain, or give a file."
            )
        return _own(base)
    if wanted in TEMPLATES:
        return TemplateChoice(wanted, None, f"Template: {wanted}.")
    if _is_file(wanted):
        return TemplateChoice("chat", _read_file(wanted), f"Chat template: the file {wanted}.")
    raise ModelUnusable(f"Unknown template {wanted!r}. Must be one of: {', '.join(CHOICES)}, or a file (.jinja).")


def check_allowed_template(wanted: str, workspace: Path) -> None:
    """Raise `PathRefused` if a dashboard user names a template file outside the allowed folders."""
    if wanted not in CHOICES and _is_file(wanted):
        allowed_path(wanted, workspace)


def template_source(encoding: EncodingSpec, base: ModelSpec) -> str:
    """The text of an encoding's chat template; empty if it uses none."""
    if encoding.template != "chat":
        return ""
    return encoding.chat_template or chat_template_text(Path(base.path)) or ""


def chat_template_text(folder: Path) -> str | None:
    """The chat template in a model's folder (several are concatenated); None if there is none."""
    _, found = _found(folder)
    if isinstance(found, list):
        found = "\n".join(str(item.get("template", "")) for item in found if isinstance(item, dict))
    return None if found is None else str(found)


def has_one_template(folder: Path) -> bool:
    """Whether a model's folder has exactly one chat template."""
    return isinstance(_found(folder)[1], str)


def _found(folder: Path) -> tuple[str, Any]:
    """The file with a folder's chat template, and its content: a text, or a list of several."""
    file = folder / "chat_template.jinja"
    if file.exists():
        return file.name, _decoded(file, f"the folder {folder}")
    for name in ("tokenizer_config.json", _OF_A_PROCESSOR):
        if found := read_json(folder / name).get("chat_template"):
            return name, found
    return "", None


def parsed_date(text: str) -> str:
    """A date in ISO 8601. Raises `ModelUnusable` if it is invalid."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ModelUnusable(f"{text[:40]!r} is not a date. Write it like 2026-11-29.") from error


def _is_file(wanted: str) -> bool:
    return wanted.endswith(_FILE_ENDINGS) or "/" in wanted


def _automatic(base: ModelSpec, reference: ModelSpec | None, own: str | None) -> TemplateChoice:
    if own is not None:
        return _own(base)
    taken = _of_reference(reference)
    if taken is not None:
        return taken
    return TemplateChoice("alpaca", None, f"Template: alpaca, since {base.label!r} has no chat template of its own.")


def _own(base: ModelSpec) -> TemplateChoice:
    """The base's own template; its text is included only if the tokenizer does not provide it."""
    file, _ = _found(Path(base.path))
    source = chat_template_text(Path(base.path)) if file == _OF_A_PROCESSOR else None
    return TemplateChoice("chat", source, f"Chat template: from the base {base.label!r}.")


def _of_reference(reference: ModelSpec | None) -> TemplateChoice | None:
    """The template that a reference was trained with here, else the one in its folder."""
    if reference is None:
        return None
    folder = Path(reference.adapter or reference.path)
    trained_with = read_json(folder / PROVENANCE).get("encoding")
    why = f"Template: from the reference {reference.label!r}"
    if isinstance(trained_with, dict) and trained_with.get("template") in TEMPLATES:
        name, source = trained_with["template"], trained_with.get("chat_template")
        if name != "chat" or source:
            return TemplateChoice(name, source, f"{why}, which was trained with it ({name}).")
    source = chat_template_text(folder)
    return TemplateChoice("chat", source, f"{why}, since the base has none.") if source else None


def _read_file(name: str) -> str:
    path = named_path(name)
    if not path.is_file():
        raise PathRefused(f"There is no file {name}. Give the path of a chat template (.jinja).")
    return _decoded(path, "your path")


def _decoded(path: Path, whose: str) -> str:
    try:
        if path.stat().st_size > _LARGEST_TEMPLATE:
            raise PathRefused(f"{path} is too large for a chat template (limit 1 MB). Check {whose}.")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PathRefused(f"{path} cannot be read as text ({error}). Check {whose}.") from error
