"""Commands that write files: a run's losses, a selection's rows, and what a trainer makes of them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..data import settings
from ..evidence.export_sentences import export_sentences
from ..evidence.selection_evidence import evidence_fields
from ..exporting import (
    CONTROLS,
    EXPORT_FORMATS,
    TRAINERS,
    BundleReport,
    ExportReport,
    HubTarget,
    check_target,
    controls_folder,
    export_bundle,
    export_controls,
    export_selection,
    finding_line,
    format_for,
    mixed_sentence,
    push_export,
    record_schemas,
)
from ..exporting.mask_comparison import READ_BY, compare_with_trainer
from ..exporting.mask_report import mask_fields, mask_text
from ..selection import Selection, saved_selection
from ..store import Store
from ..workspace.loss_table import write_losses
from .options import AsJson, SpreadsheetGuard, Workspace, number
from .terminal import print_result, readable_store, report_user_errors, say


def losses(
    run: Annotated[str, typer.Option(help="Run to write the losses of.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="A .csv, .parquet or .jsonl file.")],
    spreadsheet_guard: SpreadsheetGuard = False,
    all_scores: Annotated[
        bool, typer.Option(help="Also all other scores of the run, imported ones too, and text_hash.")
    ] = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Write every row's losses, scores and flags."""
    with report_user_errors(), readable_store(workspace, "losses") as store:
        count = write_losses(store, run, output, spreadsheet_guard, all_scores)
        print_result({"rows": count, "path": str(output)}, as_json, f"{count:,} rows written to {output}")


def export(
    selection: Annotated[str, typer.Option(help="Saved selection to write.")],
    output: Annotated[
        Path,
        typer.Option(metavar="FILE", help="File to write (a bundle: a folder or a .zip); a manifest comes with it."),
    ],
    file_format: Annotated[
        str | None, typer.Option("--format", help=f"What to write: {', '.join(EXPORT_FORMATS)} [the file's suffix].")
    ] = None,
    with_scores: Annotated[bool, typer.Option(help="Add losses and scores to every record.")] = False,
    spreadsheet_guard: SpreadsheetGuard = False,
    bundle: Annotated[
        str | None,
        typer.Option(
            metavar="TRAINER",
            help=f"Write a bundle (data, config, command to run) for {', '.join(TRAINERS)} instead of one file.",
        ),
    ] = None,
    controls: Annotated[
        int,
        number(
            min=0,
            metavar="N",
            help=f"Also write the selection's controls ({', '.join(CONTROLS)}; the random ones by N seeds), with as "
            "many scored tokens, into FILE.controls.",
        ),
    ] = 0,
    push: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="Also push the files and a dataset card to this dataset on the Hub."),
    ] = None,
    public: Annotated[bool, typer.Option(help="Push to a public dataset; without it, only to a private one.")] = False,
    revision: Annotated[str | None, typer.Option(metavar="BRANCH", help="Branch to push to [main].")] = None,
    pull_request: Annotated[bool, typer.Option(help="Push as a pull request.")] = False,
    licence: Annotated[
        str | None,
        typer.Option(
            "--licence",
            "--license",
            metavar="ID",
            help="Licence for the card, as the Hub writes it: apache-2.0, other.",
        ),
    ] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Write the selected rows, unchanged or for a trainer, and a manifest to reproduce the file."""
    if bundle and (file_format or with_scores or spreadsheet_guard):
        raise typer.BadParameter("--bundle excludes --format, --with-scores and --spreadsheet-guard.")
    if push is None and (public or revision or pull_request or licence):
        raise typer.BadParameter("--public, --revision, --pull-request and --licence belong to --push.")
    target = HubTarget(push, public, revision or "", pull_request, licence or "") if push is not None else None
    with report_user_errors(), readable_store(workspace, "export") as store:
        if target:
            check_target(target)
        recipe = saved_selection(store, selection)
        report: ExportReport | BundleReport
        evidence = evidence_fields(settings.workspace_path(workspace), recipe)
        if bundle:
            report = export_bundle(store, recipe, output, bundle, selection, evidence)
        else:
            if mixed := mixed_sentence(record_schemas(store, recipe)):
                say(mixed)
            report = export_selection(
                store, recipe, output, file_format, with_scores, spreadsheet_guard, selection, evidence
            )
        for notice in report.notices:
            say(notice)
        fields: dict[str, Any] = {
            "rows": report.rows,
            "path": str(report.path),
            "sha256": report.sha256,
            "manifest": str(report.manifest_path),
        }
        if isinstance(report, BundleReport):
            fields |= _bundle_fields(report)
        if controls:
            form = "jsonl" if bundle else format_for(output, file_format)[0].name
            folder = controls_folder(output)
            beside = export_controls(store, recipe, folder, form, controls, bundle=bundle, name=selection)
            files = [control.to_fields() for control in beside.controls]
            fields["controls"] = {"index": str(beside.index_path), "files": files}
        sentence = f"{report.rows:,} rows written to {report.path} (sha256 {report.sha256})"
        if target:
            fields["push"] = _push(store, recipe, settings.workspace_path(workspace), report, target)
            sentence += f"\nPushed to {fields['push']['url']}"
        print_result(fields, as_json, sentence)


def masks(
    selection: Annotated[str, typer.Option(help="Saved selection to check.")],
    bundle: Annotated[str, typer.Option(metavar="TRAINER", help=f"Trainer: {', '.join(READ_BY)}.")],
    rows: Annotated[int, number(min=1, help="Number of rows to compare, from the first.")] = 200,
    python: Annotated[
        str | None, typer.Option(metavar="FILE", help="Python interpreter with the trainer installed [this one].")
    ] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Report rows where the trainer's own code trains on different tokens from those that were scored."""
    with report_user_errors(), readable_store(workspace, "masks") as store:
        report = compare_with_trainer(store, saved_selection(store, selection), bundle, rows, python)
        print_result(mask_fields(report), as_json, mask_text(TRAINERS[bundle].label, report))


def _push(
    store: Store, recipe: Selection, workspace: Path, report: ExportReport | BundleReport, target: HubTarget
) -> dict[str, Any]:
    """Push what was written, step by step on stderr; returns JSON fields."""
    pushed = push_export(report, target, export_sentences(store, workspace, recipe), say)
    for notice in pushed.notices:
        say(notice)
    return pushed.to_fields()


def _bundle_fields(report: BundleReport) -> dict[str, Any]:
    """What became of the rows in a bundle, also said on stderr."""
    found = report.preflight
    for finding in found.findings:
        say(finding_line(finding))
    return {
        "bundle": found.trainer,
        "left_out": {finding.reason.name: finding.rows for finding in found.left_out},
        "changed": {finding.reason.name: finding.rows for finding in found.changed},
    }
