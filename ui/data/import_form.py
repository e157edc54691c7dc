"""The import form: the files, what is known of each, their options, and the dataset that they go into."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from core.data.errors import UserError
from core.importing import DataFile, ImportReport, SourceOptions, import_file
from core.importing.listed_files import OF_ONE_FILE, ListedFile, known_copies, list_file
from core.workspace import demo
from ui.data.dataset_list import choose_dataset, chosen_dataset
from ui.data.import_report import keep_import_report
from ui.data.import_table import IncludedFile, import_table
from ui.data.source_form import FileGroup, default_options, group_files, show_preview, source_form
from ui.kit.chosen_files import chosen_files, import_round
from ui.kit.widgets import show_error
from ui.shell.session import Session, remember, remembered
from ui.shell.staged_files import remove_staged


def show_import_form(session: Session, datasets: list[dict[str, Any]]) -> None:
    """Draw the form. `datasets`: as returned by `core.workspace.status.dataset_overview`."""
    try:
        files, refused = chosen_files(session, "one dataset")
    except UserError as error:
        show_error(error)
        return
    listed = [_listed(file) for file in files]
    groups = group_files(listed)
    # The table, which is drawn if any file can be read, says what is wrong with the others.
    for problem in (*refused, *(item.error for item in listed if item.error and not groups)):
        show_error(problem)
    if not groups:
        return
    table, target = st.container(), st.container()
    group = _group_to_edit(groups)
    chosen = source_form(group)
    _keep_options(group, chosen)
    with table:
        included = import_table(
            listed, _options(groups), known_copies(session.store, listed), f"files_{import_round()}_{_place_of(listed)}"
        )
    with target:
        _target_form(session, datasets, listed, included)
    show_preview(group.files[0], chosen)


def _listed(file: DataFile) -> ListedFile:
    """`list_file`, read again only if the file has changed."""
    status = os.stat(file.path) if file.path.exists() else None
    state = (file, status and (status.st_size, status.st_mtime_ns))
    known: dict[str, tuple[object, ListedFile]] = remembered("listed_files", {})
    before = known.get(str(file.path))
    if before and before[0] == state:
        return before[1]
    found = list_file(file)
    remember("listed_files", {**known, str(file.path): (state, found)})
    return found


def _place_of(listed: Sequence[ListedFile]) -> int:
    return hash(tuple(str(item.file.path) for item in listed))


def _group_to_edit(groups: list[FileGroup]) -> FileGroup:
    """The files whose options are shown: those whose columns are not recognised first."""
    by_name = {group.key: group for group in groups}
    if len(groups) == 1:
        return groups[0]
    unknown = [place for place, group in enumerate(groups) if group.detected.format is None]

    def label(key: str) -> str:
        files = by_name[key].files
        return files[0].name + (f" and {len(files) - 1:,} more with the same columns" if len(files) > 1 else "")

    key = st.selectbox(
        "Options for", list(by_name), (unknown or [0])[0], format_func=label,
        key=f"group_{import_round()}_{hash(tuple(by_name))}",
        help="Files with the same format and columns share their options.",
    )  # fmt: skip
    return by_name[key]


def _keep_options(group: FileGroup, options: SourceOptions) -> None:
    remember("import_options", {**remembered("import_options", {}), group.key: options})


def _options(groups: list[FileGroup]) -> dict[Path, SourceOptions]:
    """The options of every file, by its path: as last chosen for its group."""
    kept = remembered("import_options", {})
    return {file.path: kept.get(group.key, default_options(group.detected)) for group in groups for file in group.files}


def _target_form(
    session: Session, datasets: list[dict[str, Any]], listed: list[ListedFile], included: list[IncludedFile]
) -> None:
    first = (included[0].listed if included else listed[0]).file
    name, action = st.columns([3, 1], vertical_alignment="bottom")
    at_hand = chosen_dataset([item["name"] for item in datasets])
    is_own = at_hand != demo.NAME  # a person's files do not belong to the demo
    stem = at_hand if at_hand and is_own else first.name.split("/")[0].split(".")[0]
    dataset = name.text_input(
        "Add to dataset", stem, key=f"dataset_{import_round()}_{listed[0].file.path}",
        help="The dataset that the rows go into. A new name creates a new dataset.",
    ).strip()  # fmt: skip
    count = f"{len(included):,} of {len(listed):,} files" if len(listed) > 1 else ""
    pressed = action.button("Import", type="primary", width="stretch", disabled=not dataset or not included)
    rows = next((item["rows"] for item in datasets if item["name"] == dataset), None)
    target = "Creates a new dataset." if rows is None else f"Adds to the existing dataset of {rows:,} rows."
    st.caption(" ".join(filter(None, (f"{count} included." if count else "", target))))
    if not included:
        st.caption("No file is included. Tick one in the table to import it.")
    if pressed:
        _import(session, dataset, included)


def _import(session: Session, dataset: str, included: list[IncludedFile]) -> None:
    """Import each file on its own, so that one unusable file does not stop the others."""
    reports: list[ImportReport] = []
    problems: list[UserError] = []
    with st.spinner("Importing..."):
        for item in included:
            file = item.listed.file
            try:
                reports.append(import_file(session.store, dataset, file, item.options))
                remove_staged(session.workspace, [file.path])
            except OF_ONE_FILE as error:
                problems.append(error)
            except UserError as error:
                problems.append(error)
                break
    if not reports:
        for problem in problems:
            show_error(problem)
        return
    keep_import_report(reports, problems)
    remember("import_round", import_round() + 1)
    remember("importing", False)
    choose_dataset(dataset)
    st.rerun()
