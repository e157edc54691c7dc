"""The command line: python -m core COMMAND. Scripts depend on its options, its exit codes and its JSON."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from ..data import settings
from ..data.errors import SourceUnreadable
from ..data.scores import DEFAULT_SCORE, SCORES
from ..data.text_search import SEARCH_KINDS
from ..encoding.template_choice import CHOICES
from ..encoding.templates import REPLIES
from ..exploring.unscored import unscored_sentences
from ..exporting import (
    CONTROLS,
    EXPORT_FORMATS,
    TRAINERS,
    BundleReport,
    ExportReport,
    controls_folder,
    export_bundle,
    export_controls,
    export_selection,
    finding_line,
    format_for,
    selection_from_manifest,
)
from ..exporting.mask_comparison import READ_BY, compare_with_trainer
from ..exporting.mask_report import mask_fields, mask_text
from ..importing import DomainRule, SourceOptions
from ..importing.formats import FORMATS as SOURCE_FORMATS
from ..importing.hub import hub_name
from ..importing.sources import takes_split
from ..maintenance.backups import CONTENTS, LEFT_OUT, back_up_workspace, restore
from ..maintenance.checking import CHECKS, check_workspace
from ..maintenance.kept_shards import notices_of
from ..models.devices import DEVICES, DTYPES
from ..near_duplicates.jobs import DEFAULT_THRESHOLD, LOWEST_THRESHOLD, begin_near_duplicates
from ..scoring.planning import LEARNING_RATES, ROLES, ScoreRequest, TrainRequest
from ..selection import ORDERS, SCOPES, save_selection, saved_selection
from ..store import Store, near_duplicate_set
from ..supervision.supervisor import begin_scoring, begin_training
from ..workspace import demo
from ..workspace.import_batch import HubChoice, import_batch, named_columns
from ..workspace.inspecting import write_encoded
from ..workspace.loss_table import write_losses
from ..workspace.status import status_text
from .recipe_options import RecipeOptions
from .terminal import console, done_by_owner, owned_store, print_result, readable_store, report_user_errors, wait_for

app = typer.Typer(
    name="python -m core",
    help="Score fine-tuning examples by learnability, explore, select, export.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help text has brackets of its own
)

Workspace = Annotated[
    Path | None, typer.Option(help="Folder of the store, jobs, references and exports [LOBASS_WORKSPACE, workspace/].")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout at the end.")]
Template = Annotated[
    str, typer.Option(help=f"How a conversation becomes text: {', '.join(CHOICES)}, or a file (.jinja).")
]
Replies = Annotated[str, typer.Option(help=f"Which replies are scored: {' or '.join(REPLIES)}.")]
TemplateDate = Annotated[
    str | None, typer.Option(metavar="YYYY-MM-DD", help="Date for templates that ask for it [the workspace's].")
]
MaxLength = Annotated[int | None, typer.Option(min=2, help="Tokens kept of an example [LOBASS_MAX_LENGTH].")]
SpreadsheetGuard = Annotated[bool, typer.Option(help="CSV: keep spreadsheets from reading cells as formulas.")]
Device = Annotated[str, typer.Option(help=f"Where to compute: {', '.join(DEVICES)}.")]
_USUAL_RATES = ", ".join(f"{rate:g} for {method}" for method, rate in LEARNING_RATES.items())


@app.command("demo")
def demo_command(workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Run the whole line live on the demo's dataset and tiny base model."""
    with report_user_errors(), owned_store(workspace, "demo") as store:
        demo.import_demo(store)
        console.print("Demo dataset imported. Training a reference on it, then scoring both models.")
        job = begin_training(store, demo.train_request())
        if job:
            wait_for(store, job)
        report = _score(store, demo.score_request())
        summary = save_selection(store, demo.SELECTION, demo.RECIPE, replace_existing=True)
        sentence = (
            f"{report['examples']:,} examples scored, {summary.kept_rows:,} kept in the selection {demo.SELECTION}. "
            "Look at them with: make app"
        )
        print_result({**report, "selection": demo.SELECTION, "kept": summary.kept_rows}, as_json, sentence)


@app.command("import")
def import_command(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Files, zip archives, folders of save_to_disk, or Hub datasets (owner/name, hf://datasets/...).",
        ),
    ],
    dataset: Annotated[str, typer.Option(help="Name of the dataset; several imports into one name add to it.")],
    domain: Annotated[str | None, typer.Option(help="One domain for all rows [the file's name].")] = None,
    domain_field: Annotated[str | None, typer.Option(help="Field of the record that holds its domain.")] = None,
    source_format: Annotated[
        str,
        typer.Option(
            "--format", help=f"How records are read: auto, {', '.join(item.name for item in SOURCE_FORMATS)}."
        ),
    ] = "auto",
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=COLUMN", help="Column that a field is read from, none if empty; repeat it."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of a dataset with splits: the one to read [train].")] = None,
    config: Annotated[str | None, typer.Option(help="Of a Hub dataset with several configs: the one to read.")] = None,
    revision: Annotated[str | None, typer.Option(help="Of a Hub dataset: branch, tag or commit [main].")] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Read files into a dataset; every record becomes a row, or is counted as rejected with a reason."""
    if domain and domain_field:
        raise typer.BadParameter("--domain and --domain-field exclude each other.")
    with report_user_errors():
        if (config or revision) and not any(hub_name(file) for file in files):
            raise typer.BadParameter("--config and --revision are for a dataset on the Hub, and none is named.")
        if split and not any(takes_split(file) for file in files):
            raise typer.BadParameter("--split is for a dataset that has splits (on the Hub, say), and none is named.")
        try:
            columns = named_columns(column or [])
        except SourceUnreadable as error:
            raise typer.BadParameter(str(error)) from error
    with report_user_errors(), owned_store(workspace, "import") as store:
        options = SourceOptions(source_format, DomainRule(domain, domain_field), columns)
        batch = import_batch(store, dataset, files, options, HubChoice(revision, split, config))
        for line in batch.lines():
            console.print(line, markup=False)
        batch.raise_if_alone()
        print_result(batch.to_fields(), as_json, batch.sentence())
        if batch.failed:
            raise typer.Exit(1)


@app.command()
def train(
    dataset: Annotated[str, typer.Option(help="Dataset to fine-tune on.")],
    base: Annotated[str, typer.Option(metavar="MODEL", help="Base model: Hub id or local folder.")],
    name: Annotated[str, typer.Option(help="Name of the reference; use it as --reference.")],
    method: Annotated[str, typer.Option(help=f"How to train: {' or '.join(LEARNING_RATES)}.")] = "lora",
    epochs: Annotated[float, typer.Option(min=0.001, help="Passes over the data.")] = 1.0,
    learning_rate: Annotated[float | None, typer.Option(help=f"Peak rate [{_USUAL_RATES}].")] = None,
    seed: Annotated[int, typer.Option(help="Decides first weights and data order.")] = 0,
    max_length: MaxLength = None,
    template: Template = "auto",
    replies: Replies = "all",
    template_date: TemplateDate = None,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Tokens of one training batch.")] = 4096,
    device: Device = "auto",
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Train a reference on the very tokens that will be scored."""
    request = TrainRequest(
        dataset, base, name, method, epochs, learning_rate, seed, template, max_length, device, batch_tokens,
        replies=replies, template_date=template_date,
    )  # fmt: skip
    with report_user_errors(), owned_store(workspace, "train") as store:
        job = begin_training(store, request)
        _say_notices(job.request.get("description", {}).get("notices", ()) if job else ())
        outcome = wait_for(store, job) if job else {}
        fields = {"name": name, "path": str(store.workspace / "models" / name), "trained": job is not None, **outcome}
        done = f"trained in {outcome['elapsed_seconds']:,.0f} s" if job else "is there already, trained just so"
        print_result(fields, as_json, f"Reference {name!r} {done}: {fields['path']}")


@app.command()
def score(
    dataset: Annotated[str, typer.Option(help="Dataset to score.")],
    base: Annotated[str, typer.Option(metavar="MODEL", help="Base model: Hub id or local folder.")],
    reference: Annotated[str, typer.Option(metavar="MODEL", help="Reference: trained name, adapter, folder or id.")],
    run: Annotated[str | None, typer.Option(help="Name of the run [dataset-reference].")] = None,
    template: Template = "auto",
    replies: Replies = "all",
    template_date: TemplateDate = None,
    max_length: MaxLength = None,
    device: Device = "auto",
    dtype: Annotated[str, typer.Option(help=f"Precision of the trunk: {', '.join(DTYPES)}.")] = "auto",
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Compute the losses that are not cached yet, under both models."""
    with report_user_errors(), owned_store(workspace, "score") as store:
        request = ScoreRequest(
            dataset, base, reference, run, template, max_length, device, dtype, replies, template_date
        )
        report = _score(store, request)
        computed, cached = (sum(report[part].values()) for part in ("computed", "cached"))
        sentence = (
            f"Run {report['run']!r}: {report['examples']:,} examples, {computed:,} losses computed, {cached:,} cached."
        )
        print_result(report, as_json, sentence)


@app.command()
def encode(
    dataset: Annotated[str, typer.Option(help="Dataset to read.")],
    model: Annotated[str, typer.Option(metavar="MODEL", help="Model whose tokenizer reads it.")],
    output: Annotated[Path, typer.Option(metavar="FILE.jsonl", help="Where to write.")],
    template: Template = "auto",
    replies: Replies = "all",
    template_date: TemplateDate = None,
    max_length: MaxLength = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Only the first rows.")] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Write what exactly is scored: a row's token ids, which of them count, and the text."""
    with report_user_errors(), owned_store(workspace, "encode") as store:
        request = ScoreRequest(
            dataset, model, "", None, template, max_length, replies=replies, template_date=template_date
        )
        count = write_encoded(store, request, rows, output)
        print_result({"rows": count, "path": str(output)}, as_json, f"{count:,} rows written to {output}")


@app.command()
def losses(
    run: Annotated[str, typer.Option(help="Run whose losses to write.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="A .csv, .parquet or .jsonl file.")],
    spreadsheet_guard: SpreadsheetGuard = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Write every row's losses, scores and flags."""
    with report_user_errors(), readable_store(workspace, "losses") as store:
        count = write_losses(store, run, output, spreadsheet_guard)
        print_result({"rows": count, "path": str(output)}, as_json, f"{count:,} rows written to {output}")


@app.command("near-duplicates")
def near_duplicates_command(
    dataset: Annotated[str, typer.Option(help="Dataset whose examples are compared with each other.")],
    threshold: Annotated[
        float, typer.Option(min=LOWEST_THRESHOLD, max=1.0, help="Share of text that two must have in common.")
    ] = DEFAULT_THRESHOLD,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Find examples that are almost the same, so that selections can keep the best of each group."""
    with report_user_errors(), owned_store(workspace, "near-duplicates") as store:
        job = begin_near_duplicates(store, dataset, threshold)
        outcome = wait_for(store, job) if job else {"elapsed_seconds": 0.0}
        found = near_duplicate_set(store, dataset, threshold)
        fields = {
            "dataset": dataset,
            "threshold": found.threshold,
            "examples": found.example_count,
            "groups": found.group_count,
            "grouped_examples": found.grouped_examples,
            "largest_group": found.largest_group,
            "computed": job is not None,
            "elapsed_seconds": outcome["elapsed_seconds"],
        }
        sentence = (
            f"{found.grouped_examples:,} of {found.example_count:,} different examples are in {found.group_count:,} "
            f"groups of near duplicates; the largest has {found.largest_group:,}."
        )
        print_result(fields, as_json, sentence)


@app.command()
def select(
    name: Annotated[str, typer.Option(help="Name to save the selection under; one of that name is replaced.")],
    run: Annotated[str | None, typer.Option(help="Run to select from.")] = None,
    ratio: Annotated[
        list[str] | None, typer.Option(metavar="R|DOMAIN=R", help="Share to keep, of all or of one domain; repeat it.")
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Rows to keep in all, instead of a ratio.")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="Scored tokens to keep in all, instead of a ratio.")] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(metavar="DOMAIN=W", help="A domain's part of the total; repeat it. Domains without get nothing."),
    ] = None,
    score: Annotated[str, typer.Option(help=f"Score to rank by: {', '.join(SCORES)}.")] = DEFAULT_SCORE,
    scope: Annotated[
        str, typer.Option(help=f"{' or '.join(SCOPES)}: rank within each domain, or all together.")
    ] = "domain",
    control: Annotated[
        str,
        typer.Option(help=f"Order other than highest: {', '.join(order for order in ORDERS if order != 'highest')}."),
    ] = "highest",
    seed: Annotated[int, typer.Option(help="Seed of the random order.")] = 0,
    keep_duplicates: Annotated[bool, typer.Option(help="Keep every copy of equal conversations.")] = False,
    near_duplicates: Annotated[
        float | None,
        typer.Option(metavar="T", help="Keep only the best of each group that `near-duplicates` found at threshold T."),
    ] = None,
    search: Annotated[str, typer.Option(metavar="TEXT", help="Only rows whose prompt or response has this.")] = "",
    search_kind: Annotated[str, typer.Option(help=f"How to read --search: {', '.join(SEARCH_KINDS)}.")] = "words",
    keep: Annotated[
        list[str] | None, typer.Option(metavar="EXAMPLE_ID", help="Always keep this conversation; repeat it.")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="EXAMPLE_ID", help="Never keep this conversation; repeat it.")
    ] = None,
    from_manifest: Annotated[Path | None, typer.Option(help="Take the recipe of an export's manifest instead.")] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Save a selection: which rows a recipe keeps."""
    with report_user_errors():
        if from_manifest:
            selection = selection_from_manifest(from_manifest)
        else:
            selection = RecipeOptions(
                run, ratio or [], rows, tokens, weight or [], score, scope, control, seed, keep_duplicates,
                near_duplicates, search, search_kind, keep or [], leave_out or [],
            ).recipe()  # fmt: skip
    with report_user_errors():
        fields = done_by_owner(workspace, "select", {"name": name, "recipe": selection.to_fields()})
        rows = fields.pop("rows")
        for notice in fields["notices"]:
            console.print(notice, markup=False)
        sentence = f"Selection {name!r}: {fields['kept']:,} of {rows:,} rows, {fields['tokens']:,} tokens."
        print_result(fields, as_json, sentence)


@app.command()
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
        typer.Option(
            min=0,
            metavar="N",
            help=f"Also write the selection's controls ({', '.join(CONTROLS)}; the random ones by N seeds), with as "
            "many scored tokens, into FILE.controls.",
        ),
    ] = 0,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Write the selected rows, as they were or as a trainer reads them, and a manifest that reproduces the file."""
    if bundle and (file_format or with_scores or spreadsheet_guard):
        raise typer.BadParameter("--bundle excludes --format, --with-scores and --spreadsheet-guard.")
    with report_user_errors(), readable_store(workspace, "export") as store:
        recipe = saved_selection(store, selection)
        report: ExportReport | BundleReport
        if bundle:
            report = export_bundle(store, recipe, output, bundle, selection)
        else:
            report = export_selection(store, recipe, output, file_format, with_scores, spreadsheet_guard, selection)
        for notice in report.notices:
            console.print(notice, markup=False)
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
        print_result(fields, as_json, f"{report.rows:,} rows written to {report.path} (sha256 {report.sha256})")


@app.command()
def masks(
    selection: Annotated[str, typer.Option(help="Saved selection whose bundle is read.")],
    bundle: Annotated[str, typer.Option(metavar="TRAINER", help=f"Trainer that reads it: {', '.join(READ_BY)}.")],
    rows: Annotated[int, typer.Option(min=1, help="How many rows to compare, the first of the bundle.")] = 200,
    python: Annotated[
        str | None, typer.Option(metavar="FILE", help="Interpreter that has the trainer [this one].")
    ] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Say where a trainer would train on other tokens than were scored, as its own code reads the bundle."""
    with report_user_errors(), readable_store(workspace, "masks") as store:
        report = compare_with_trainer(store, saved_selection(store, selection), bundle, rows, python)
        print_result(mask_fields(report), as_json, mask_text(TRAINERS[bundle].label, report))


@app.command()
def status(workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Show datasets, models, runs, jobs and selections."""
    with report_user_errors():
        fields = done_by_owner(workspace, "status", {})
        print_result(fields, as_json, status_text(fields))


@app.command()
def check(
    accept_loss: Annotated[
        bool, typer.Option(help="Go on with what is left of a store that has lost changes; kept shards are read again.")
    ] = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Verify the workspace: a line for each thing that is not as it should be, and exit code 1 if there is one."""
    with (
        report_user_errors(),
        Store.open(settings.workspace_path(workspace), "python -m core check", accept_loss=accept_loss) as store,
    ):
        notices = notices_of(store)
        findings = check_workspace(store, console.print)
        fields = {
            "workspace": str(store.workspace),
            "checks": list(CHECKS),
            "notices": notices,
            "findings": [{"check": finding.check, "sentence": finding.sentence} for finding in findings],
        }
        lines = [*notices, *(f"{finding.check}: {finding.sentence}" for finding in findings)]
        print_result(fields, as_json, "\n".join([*lines, f"{len(findings):,} findings in {store.workspace}"]))
    if findings:
        raise typer.Exit(1)


@app.command(help=f"Copy the store into one file, also while it is in use: {CONTENTS}. Not in it: {LEFT_OUT}.")
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; one that exists is left alone.")],
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Copy the store into one file, also while it is in use."""
    with report_user_errors():
        report = back_up_workspace(settings.workspace_path(workspace), file)
        sentence = f"{report.bytes:,} bytes written to {report.path} (sha256 {report.sha256}). Not in it: {LEFT_OUT}."
        print_result(asdict(report), as_json, sentence)


@app.command("restore")
def restore_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File that `backup` wrote.")],
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of the workspace's store, which stays beside it under a dated name."""
    with report_user_errors():
        aside = restore(settings.workspace_path(workspace), file)
        sentence = (
            f"The store is that of {file}. {f'The one before is {aside}.' if aside else 'There was none before.'}"
        )
        print_result({"restored": str(file), "replaced": str(aside) if aside else None}, as_json, sentence)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _score(store: Store, request: ScoreRequest) -> dict[str, Any]:
    """Score until nothing is missing, joining a worker that is at it already; the report of the JSON contract."""
    plan, job = begin_scoring(store, request)
    first, outcomes = plan, []
    _say_notices((plan.template_sentence, *plan.notices))
    while job:
        missing = ", ".join(f"{plan.computed[role]:,} {role}" for role in ROLES)
        console.print(f"{plan.unique_examples:,} different examples; to compute: {missing}.")
        outcomes.append(wait_for(store, job))
        plan, job = begin_scoring(store, request)
    tokens = sum(outcome["tokens"] for outcome in outcomes)
    elapsed = sum(outcome["elapsed_seconds"] for outcome in outcomes)
    found = [notice for outcome in outcomes for notice in outcome.get("notices", ())]
    found += unscored_sentences(store, store.run(first.request.run_name)["table"])
    for notice in found:
        console.print(notice, markup=False)
    return {
        "run": first.request.run_name,
        "examples": first.row_count,
        "unique_examples": first.unique_examples,
        "computed": first.computed,
        "cached": first.cached,
        "tokens": tokens,
        "tokens_per_second": tokens / elapsed if elapsed else None,
        "elapsed_seconds": elapsed,
        "notices": [first.template_sentence, *first.notices, *found],
    }


def _say_notices(notices: Iterable[str]) -> None:
    """What a person should know of the models, on stderr."""
    for notice in notices:
        console.print(notice, markup=False)


def _bundle_fields(report: BundleReport) -> dict[str, Any]:
    """What became of the rows in a bundle, also said on stderr."""
    found = report.preflight
    for finding in found.findings:
        console.print(finding_line(finding), markup=False)
    return {
        "bundle": found.trainer,
        "left_out": {finding.reason.name: finding.rows for finding in found.left_out},
        "changed": {finding.reason.name: finding.rows for finding in found.changed},
    }
