"""Controls: exports of other rows with the same number of tokens as a selection, so that training compares the choice
of rows and not the amount."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..data.errors import ExportFailed
from ..selection import KEPT, Amount, Selection, Summary, matched_control, row_decisions, select_summary
from ..selection.decisions import BELOW_THE_CUT
from ..store import Store
from ..system.atomic_files import sole_publisher
from ..system.disk_errors import translate_disk_errors
from ..system.durable_file import DurableFile
from ..system.permission import require_change
from ..system.workspace_files import check_output, is_in_workspace
from .bundle_readme import finding_line
from .bundles import export_bundle
from .exporter import export_selection, json_file
from .manifest import manifest_path
from .preflight import preflight
from .writing import format_for

INDEX_FILE = "controls.json"
DEFAULT_SEEDS = 3


@dataclass(frozen=True, slots=True)
class Control:
    """One kind of control: its order, and whether its tokens match by domain (`matched`) or only in total. A seeded one
    is drawn once per seed."""

    name: str
    label: str
    help: str
    order: str
    matched: bool = True
    seeded: bool = False


CONTROLS = {
    control.name: control
    for control in (
        Control("random", "Random", "random rows from all domains, mixed as in the data", "random", False, True),
        Control("random-by-domain", "Random by domain", "random rows within each domain", "random", True, True),
        Control("longest", "Longest", "the longest responses of each domain", "longest"),
        Control(
            "highest-base-loss",
            "Highest base loss",
            "the rows with the highest base loss of each domain",
            "highest_base_loss",
        ),
        Control("lowest-score", "Lowest score", "the rows with the lowest score of each domain", "lowest"),
    )
}
"""To add a control, add one here; the command line, the page and tests read this table."""


@dataclass(frozen=True, slots=True)
class ControlReport:
    """One control as written. `tokens` is its size, `wanted_tokens` the size of the selection's own export. A control
    without rows has no file."""

    name: str
    control: str
    seed: int | None
    wanted_tokens: int
    path: Path | None
    sha256: str | None
    rows: int
    tokens: int
    notices: tuple[str, ...]

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields for the index; the path is relative to the index's folder."""
        return {
            "name": self.name,
            "control": self.control,
            "seed": self.seed,
            "file": self.path.name if self.path else None,
            "manifest": manifest_path(self.path).name if self.path else None,
            "rows": self.rows,
            "tokens": self.tokens,
            "wanted_tokens": self.wanted_tokens,
            "sha256": self.sha256,
            "notices": list(self.notices),
        }


@dataclass(frozen=True, slots=True)
class ControlsReport:
    """All written controls, their folder, and the index that lists them."""

    folder: Path
    index_path: Path
    controls: tuple[ControlReport, ...]


def control_selections(
    store: Store,
    selection: Selection,
    summary: Summary,
    kinds: Iterable[str] = tuple(CONTROLS),
    seeds: int = DEFAULT_SEEDS,
) -> dict[str, tuple[Control, Selection]]:
    """Recipes of the controls by name ("random-2"): the selection's filter, another order, and the same number of
    tokens to within one row, in total and, if matched, in each domain (as far as there are rows).

    `summary` is the selection's own. Raises `ExportFailed` for an unknown kind.
    """
    found: dict[str, tuple[Control, Selection]] = {}
    for kind in kinds:
        if kind not in CONTROLS:
            raise ExportFailed(f"Unknown control {kind!r}. Must be one of: {', '.join(CONTROLS)}.")
        control = CONTROLS[kind]
        if not control.seeded:
            found[kind] = (control, control_selection(store, selection, summary, control))
        for seed in range(1, seeds + 1) if control.seeded else ():
            found[f"{kind}-{seed}"] = (control, control_selection(store, selection, summary, control, seed))
    return found


def control_selection(
    store: Store, selection: Selection, summary: Summary, control: Control, seed: int | None = None
) -> Selection:
    """The recipe of one control, as `control_selections` gives it; `seed`: of a seeded one."""
    recipe = matched_control(selection, summary, control.order)
    if not control.matched:
        recipe = replace(recipe, scope="pooled", amount=Amount("tokens", summary.kept_tokens), domain_amounts={})
    return _to_the_nearest_row(store, recipe if seed is None else replace(recipe, seed=seed))


@translate_disk_errors("The controls")
def export_controls(
    store: Store,
    selection: Selection,
    folder: Path,
    format: str = "jsonl",
    seeds: int = DEFAULT_SEEDS,
    kinds: Sequence[str] = tuple(CONTROLS),
    bundle: str | None = None,
    name: str | None = None,
) -> ControlsReport:
    """Write the controls of a selection into `folder` (created if missing): each as a file of the format, or as a zip
    for the trainer `bundle`, with its manifest. `controls.json`, which lists them, is written last.

    `name` is the selection's, for the manifests. Raises `ExportFailed`; controls that are finished by then stay, but
    without the index.
    """
    require_change()  # before the queries, so that they are not limited as a page's
    check_output(folder, store.workspace)
    suffix = "zip" if bundle else format_for(folder / "control", format)[0].name
    summary = select_summary(store, selection)
    if not summary.kept_rows:
        raise ExportFailed("The selection is empty, so it has no controls. Increase its amount or relax its filters.")
    # A trainer may also reject rows of the selection; the controls must match what is trained on.
    tokens = preflight(store, selection, bundle).written_tokens if bundle else summary.kept_tokens
    chosen = control_selections(store, selection, summary, kinds, seeds)
    if not chosen:
        raise ExportFailed(
            "No control was chosen. Choose at least one kind, and at least one seed for random controls."
        )
    _make_folder(folder)
    index = folder / INDEX_FILE
    reports = []
    with sole_publisher(folder):
        index.unlink(missing_ok=True)
        for title, (control, recipe) in chosen.items():
            path, of = folder / f"{title}.{suffix}", f"{name or 'selection'}: control {title}"
            seed = recipe.seed if control.seeded else None
            found = _write_control(store, recipe, path, bundle, of)
            reports.append(ControlReport(title, control.name, seed, tokens, *found))
        _write_index(index, selection, summary, name, tokens, reports)
    return ControlsReport(folder, index, tuple(reports))


def _to_the_nearest_row(store: Store, recipe: Selection) -> Selection:
    """The recipe with one more row (or preference pair) in each pool where that brings the total closer to the budget.

    A token budget stops before the row that would exceed it. Some orders put long rows first, so over many domains the
    missing tokens would add up.
    """
    pool = "''" if recipe.scope == "pooled" else "domain"
    sql, values = row_decisions(store, recipe)
    ends = store.rows(
        f"""
        SELECT {pool}, coalesce(sum(token_count) FILTER (outcome = '{KEPT}'), 0)::BIGINT,
            list_sum(arg_min(token_count, rank, {2 if recipe.keeps_pairs else 1})
                FILTER (outcome = '{BELOW_THE_CUT}'))::BIGINT
        FROM ({sql}) GROUP BY 1 ORDER BY 1
        """,
        values,
    )
    amounts, error = dict(recipe.domain_amounts), 0
    for domain, kept, next_row in ends:
        wanted = int(recipe.domain_amounts.get(domain, recipe.amount).value)
        short = error + kept - wanted
        if next_row is not None and wanted and abs(short + next_row) < abs(short):
            amounts[domain], short = Amount("tokens", kept + next_row), short + next_row
        error = short
    if recipe.scope == "pooled":
        return replace(recipe, amount=amounts.get("", recipe.amount))
    return replace(recipe, domain_amounts=amounts)


def _write_control(
    store: Store, recipe: Selection, path: Path, bundle: str | None, name: str
) -> tuple[Path | None, str | None, int, int, tuple[str, ...]]:
    """Write one control; returns its path, SHA-256, rows, tokens and notices. A control without rows has no file."""
    kept = select_summary(store, recipe)
    if not kept.kept_rows:
        return None, None, 0, 0, ("Empty: its first row alone has more tokens than the budget.",)
    if not bundle:
        file = export_selection(store, recipe, path, name=name)
        return path, file.sha256, file.rows, kept.kept_tokens, tuple(kept.notices)
    written = export_bundle(store, recipe, path, bundle, name)
    left_out = tuple(f"Skipped: {finding_line(finding)}." for finding in written.preflight.left_out)
    tokens = written.preflight.written_tokens
    return path, written.sha256, written.rows, tokens, (*kept.notices, *left_out)


def controls_folder(output: Path) -> Path:
    """The folder for the controls of an export: next to it, named after it."""
    return output.with_name(f"{output.name}.controls")


def _write_index(
    path: Path, selection: Selection, summary: Summary, name: str | None, tokens: int, reports: Sequence[ControlReport]
) -> None:
    fields = {
        "selection": {
            "name": name,
            "recipe": selection.to_fields(),
            "rows": summary.kept_rows,
            "tokens": tokens,
        },
        "controls": [report.to_fields() for report in reports],
    }
    with DurableFile(path) as file:
        file.write(json_file(fields))
        file.finish()
        file.replace()


def _make_folder(folder: Path) -> None:
    require_change()
    try:
        folder.mkdir(mode=0o700 if is_in_workspace(folder) else 0o777, parents=True, exist_ok=True)
    except OSError as error:
        raise ExportFailed(
            f"The folder {folder} cannot be created ({error.strerror}). Choose another location."
        ) from error
