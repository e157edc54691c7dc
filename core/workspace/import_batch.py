"""The import command's work: files one by one, each by itself, so that a bad one keeps no other from being read."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..data.errors import SourceUnreadable, UserError
from ..data.listing import counted
from ..importing import DataFile, ImportReport, SourceOptions, data_files, import_file
from ..importing.formats import FIELD_NAMES, FORMATS
from ..importing.listed_files import OF_ONE_FILE
from ..store import Store, checked_dataset_name


@dataclass(frozen=True, slots=True)
class HubChoice:
    """Which part of a dataset to read: its revision, split and config, where it has several."""

    revision: str | None = None
    split: str | None = None
    config: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of the files that were named: a report for each that was read, an error for each that was not."""

    dataset: str
    outcomes: tuple[tuple[str, ImportReport | UserError], ...]

    @property
    def reports(self) -> list[ImportReport]:
        """Of the files that were imported."""
        return [outcome for _, outcome in self.outcomes if isinstance(outcome, ImportReport)]

    @property
    def failed(self) -> list[tuple[str, UserError]]:
        """The files that were not, with why."""
        return [(name, outcome) for name, outcome in self.outcomes if isinstance(outcome, UserError)]

    @property
    def rows(self) -> int:
        """Records that are rows now."""
        return sum(report.rows for report in self.reports)

    @property
    def rejected(self) -> int:
        """Records that are not."""
        return sum(report.rejected for report in self.reports)

    @property
    def by_reason(self) -> dict[str, int]:
        """How many records were rejected, by reason."""
        return _added(report.by_reason for report in self.reports)

    def __str__(self) -> str:
        return self.sentence()

    def raise_if_alone(self) -> None:
        """Raise the error of the only file there was."""
        if len(self.outcomes) == 1 and self.failed:
            raise self.failed[0][1]

    def lines(self) -> Iterator[str]:
        """What is told beside the result: where files came from, what deserves a look, what could not be read."""
        yield from dict.fromkeys(origin_text(report.origin) for report in self.reports if report.origin)
        for report in self.reports:
            yield from (f"{report.source}: {notice}" for notice in report.notices)
        if len(self.outcomes) > 1:
            yield from (f"{name} was not imported: {error}" for name, error in self.failed)

    def sentence(self) -> str:
        """The result for people."""
        reasons = counted(self.by_reason)
        rows = f"{self.rows:,} rows in {self.dataset!r}, {self.rejected:,} skipped"
        rows += f" ({reasons})" if reasons else ""
        return (
            f"{rows}; {len(self.failed):,} of {len(self.outcomes):,} files not imported." if self.failed else f"{rows}."
        )

    def to_fields(self) -> dict[str, Any]:
        """The result as JSON has it."""
        return {
            "dataset": self.dataset,
            "rows": self.rows,
            "rejected": self.rejected,
            "by_reason": self.by_reason,
            "domains": _added(report.domains for report in self.reports),
            "notices": [f"{report.source}: {notice}" for report in self.reports for notice in report.notices],
            "files": [_file_fields(name, outcome) for name, outcome in self.outcomes],
        }


def import_batch(store: Store, dataset: str, names: Iterable[str], options: SourceOptions, choice: HubChoice) -> Batch:
    """Import the files that the names mean, each by itself; raises only what concerns them all, such as `NameTaken` for
    a dataset without a name."""
    dataset = checked_dataset_name(dataset)
    outcomes: list[tuple[str, ImportReport | UserError]] = []
    with tempfile.TemporaryDirectory(prefix="lobass-") as folder:
        for name in names:
            try:
                files = data_files(name, Path(folder), choice.revision, choice.split, choice.config)
            except OF_ONE_FILE as error:
                outcomes.append((name, error))
                continue
            outcomes += [(file.name, _imported(store, dataset, file, options)) for file in files]
    return Batch(dataset, tuple(outcomes))


def named_columns(pairs: Iterable[str]) -> dict[str, str]:
    """Columns by field of texts FIELD=COLUMN. Raises `SourceUnreadable` for a field that no format has."""
    columns: dict[str, str] = {}
    for pair in pairs:
        field, sign, column = pair.partition("=")
        if not sign or field not in FIELD_NAMES:
            own = dict.fromkeys(item.name for source_format in FORMATS for item in source_format.fields)
            raise SourceUnreadable(f"--column {pair!r} must read FIELD=COLUMN. The fields are: {', '.join(own)}.")
        columns[field] = column
    return columns


def _imported(store: Store, dataset: str, file: DataFile, options: SourceOptions) -> ImportReport | UserError:
    try:
        return import_file(store, dataset, file, options)
    except OF_ONE_FILE as error:
        return error


def _file_fields(name: str, outcome: ImportReport | UserError) -> dict[str, Any]:
    if isinstance(outcome, UserError):
        return {"file": name, "error": str(outcome)}
    fields = {key: value for key, value in asdict(outcome).items() if key in ("format", "rows", "rejected", "notices")}
    origin = {"origin": dict(outcome.origin)} if outcome.origin else {}
    return {"file": outcome.source, **fields, **origin, "already_imported": outcome.already_imported}


def origin_text(origin: Mapping[str, str]) -> str:
    """Where a file of the Hub came from: its dataset, commit, config and split."""
    parts = [f"{part} {origin[part]}" for part in ("config", "split") if part in origin]
    return ", ".join([f"{origin['hub']} at commit {origin['commit']}", *parts])


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts by name, put together."""
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)
