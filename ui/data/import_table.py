"""The table of files to import: a line a file, with what is known of it and whether to include it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from core.importing import DomainRule, SourceOptions, options_for
from core.importing.listed_files import ListedFile
from core.importing.row_reading import named_domain
from core.importing.source_options import AUTO

_PAIRS = "Preference pairs are skipped, unless chosen is mapped to the answer."
_SHOWN_FILES = 8


@dataclass(frozen=True, slots=True)
class IncludedFile:
    """A file that is to be imported, with its options."""

    listed: ListedFile
    options: SourceOptions


def import_table(
    listed: Sequence[ListedFile], options: Mapping[Path, SourceOptions], copies: Mapping[Path, str], key: str
) -> list[IncludedFile]:
    """Draw the table; returns the included files. `options` and `copies` (sentences on files that are known already)
    are by path. A domain that is written in the table comes before that of the options."""
    lines = pd.DataFrame(
        [_line(item, options.get(item.file.path), copies.get(item.file.path)) for item in listed],
        columns=["Include", "File", "Format", "Domain", "Records", "Problems"],
    )
    lines["Records"] = lines["Records"].astype("Int64")
    edited = st.data_editor(
        lines,
        hide_index=True,
        key=key,
        placeholder="",
        height="content" if len(lines) <= _SHOWN_FILES else 320,
        disabled=["File", "Format", "Records", "Problems"],
        column_config={
            "Include": st.column_config.CheckboxColumn(width=95, help="Only these files are imported."),
            "Domain": st.column_config.TextColumn(help="Write a name here to give all rows of the file this domain."),
            "Records": st.column_config.NumberColumn(
                format="localized", width=90, help="Empty: not known before the import. Some may be skipped."
            ),
            "Problems": st.column_config.TextColumn(width="large"),
        },
    )
    included = zip(listed, edited["Include"], edited["Domain"], lines["Domain"], strict=True)
    return [
        IncludedFile(item, _with_domain(options.get(item.file.path, SourceOptions()), written, shown))
        for item, is_included, written, shown in included
        if is_included
    ]


def _line(item: ListedFile, options: SourceOptions | None, copy: str | None) -> tuple[object, ...]:
    if item.detected is None or options is None:
        return False, item.file.name, "", "", None, f"Cannot be read: {item.error}"
    detected = item.detected
    problems = [copy] if copy else []
    if detected.has_pairs and detected.format != "preference" and options == SourceOptions(domain=options.domain):
        problems.append(_PAIRS)
    elif detected.format is None and options.format == AUTO:
        problems.append("Its columns are not recognised: choose a format below.")
    if detected.note:
        problems.append(detected.note)
    found = f"{detected.format or 'not recognised'}" if options.format == AUTO else options.format
    return not copy, item.file.name, found, _domain(item, options), item.records, " ".join(problems)


def _domain(item: ListedFile, options: SourceOptions) -> str:
    rule = named_domain(options_for(item.file, options).domain, item.file.path.name)
    return f"(from field {rule.field})" if rule.field else rule.name or ""


def _with_domain(options: SourceOptions, written: object, shown: object) -> SourceOptions:
    name = str(written or "").strip()
    if not name or name == shown:
        return options
    return SourceOptions(options.format, DomainRule(name=name), options.columns)
