"""The import form: format, domain and columns of the files, with what was detected and a preview."""

from collections.abc import Iterable
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.data.examples import DatasetRow, Rejected
from core.importing import DataFile, Detection, DomainRule, SourceOptions, detect_format, options_for, preview
from core.importing.fields import FormatField
from core.importing.formats import FORMATS, format_named
from core.importing.listed_files import OF_ONE_FILE, ListedFile
from core.importing.records import REASONS
from core.importing.source_options import known_name
from ui.kit.widgets import conversation, show_error
from ui.plain_text import escaped

_FROM_FIELD, _ONE_NAME, _FILE_NAME = "A field of each record", "One name for all rows", "The file name"
_PREVIEWED = 3
_DETECTIONS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Files of the same format with the same columns: they share their options."""

    files: list[DataFile]
    detected: Detection

    @property
    def key(self) -> str:
        """The start of the keys of its widgets."""
        return str(self.files[0].path)


def group_files(listed: Iterable[ListedFile]) -> list[FileGroup]:
    """The files that can be read, grouped by format and columns."""
    groups: dict[tuple[str | None, tuple[str, ...]], FileGroup] = {}
    for item in listed:
        if item.detected:
            key = (item.detected.format, item.detected.columns)
            groups.setdefault(key, FileGroup([], item.detected)).files.append(item.file)
    return list(groups.values())


def default_options(detected: Detection) -> SourceOptions:
    """The options of files for which nothing was chosen."""
    return SourceOptions(domain=DomainRule(field="domain") if "domain" in detected.columns else DomainRule())


def source_form(group: FileGroup) -> SourceOptions:
    """Draw the form for a group of files; returns the chosen options."""
    detected, key = group.detected, group.key
    left, middle, right = st.columns(3)
    names = ["auto", *(item.name for item in FORMATS)]
    source_format = left.selectbox(
        "Format",
        names,
        format_func=lambda name: f"auto ({detected.format or 'not recognised'})" if name == "auto" else name,
        help="\n".join(f"- {escaped(item.name)}: {escaped(item.summary)}" for item in FORMATS),
        key=f"format_{key}",
        persist_state="page",
    )
    domain = _domain_rule(detected, key, middle, right)
    options = SourceOptions(source_format, domain, _mapped_columns(detected, source_format, key))
    _show_detection(group.files, options)
    return options


def _domain_rule(detected: Detection, key: str, middle: DeltaGenerator, right: DeltaGenerator) -> DomainRule:
    has_domain = "domain" in detected.columns
    rule = middle.selectbox(
        "Domain comes from", [_FILE_NAME, _FROM_FIELD, _ONE_NAME], index=int(has_domain), key=f"domain_rule_{key}",
        help="A domain that is written in the table of files comes first.", persist_state="page",
    )  # fmt: skip
    if rule == _FROM_FIELD:
        columns = list(detected.columns)
        chosen = right.selectbox(
            "Field", columns, columns.index("domain") if has_domain else 0, key=f"field_{key}",
            help="The field that holds each row's domain.", persist_state="page",
        )  # fmt: skip
        return DomainRule(field=chosen)
    if rule == _ONE_NAME:
        name = right.text_input(
            "Domain", "general", key=f"domain_{key}", help="The domain of all rows.", persist_state="page"
        )
        return DomainRule(name=name.strip() or None)
    return DomainRule()


def _mapped_columns(detected: Detection, chosen: str, key: str) -> dict[str, str]:
    source_format = format_named((detected.format or "") if chosen == "auto" else chosen)
    if source_format is None:
        return {}
    found = {item.name: _column_of(item, detected) for item in source_format.fields}
    missing = any(not found[item.name] for item in source_format.required)
    mapped: dict[str, str] = {}
    with st.expander("Columns", expanded=missing):
        st.caption("Choose the file's column for each field.")
        for item, place in zip(source_format.fields, st.columns(len(source_format.fields)), strict=True):
            choices = ["", *detected.columns]
            column = place.selectbox(
                item.name if item.required else f"{item.name} (optional)",
                choices,
                choices.index(found[item.name]),
                format_func=lambda name: name or "(none)",
                key=f"column_{item.name}_{source_format.name}_{key}",
                help="The file's column for this field.",
                persist_state="page",
            )
            if column != found[item.name]:
                mapped |= _mapping(item, column)
    return mapped


def _mapping(item: FormatField, column: str) -> dict[str, str]:
    """The option that reads a field from a column. With `column` "", no column of any known name is read."""
    return {item.name: column} if column else dict.fromkeys(item.all_names, "")


def _column_of(item: FormatField, detected: Detection) -> str:
    """The file's column for a field, "" if there is none."""
    meant = {name: column for column in reversed(detected.columns) for name in (known_name(column), column)}
    return next((meant[name] for name in item.all_names if name in meant), "")


def _show_detection(files: list[DataFile], options: SourceOptions) -> None:
    for file in files[:_DETECTIONS_SHOWN]:
        found = detect_format(file.path, options_for(file, options))
        if found.format:
            note = f" {found.note}" if found.note else ""
            st.text(f"{file.name} is read as {found.container}, format {found.format}: {found.why}.{note}")
        else:
            st.text(
                f"{file.name} is read as {found.container}, but its columns are not recognised: {found.why}. "
                "Choose a format above, then map the columns."
            )
    if len(files) > _DETECTIONS_SHOWN:
        st.text(f"These options are also for {len(files) - _DETECTIONS_SHOWN:,} more files with the same columns.")


def show_preview(file: DataFile, options: SourceOptions) -> None:
    """The first rows of a file as they would be imported."""
    with st.expander(f"Preview of {escaped(file.name)}", expanded=True):
        try:
            records = preview(file.path, options_for(file, options), _PREVIEWED)
        except OF_ONE_FILE as error:
            show_error(error)
            return
        for record, place in zip(records, st.columns(_PREVIEWED), strict=False):
            with place:
                _show_record(record)


def _show_record(record: DatasetRow | Rejected) -> None:
    if isinstance(record, Rejected):
        found = f" ({record.detail})" if record.detail else ""
        st.text(f"Record {record.line:,} is skipped: {record.reason}{found}. {REASONS[record.reason]}")
    else:
        st.text(f"Record {record.line:,}, domain {record.domain}")
        for notice in record.notices:
            st.text(f"Note: it has {notice}.")
        conversation(record.example, height=160)
