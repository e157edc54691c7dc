"""The command line: python -m core COMMAND. Scripts depend on its options, its exit codes and its JSON."""

import typer

from ..data.version import COMMAND
from ..workspace.maintenance.backups import CONTENTS, LEFT_OUT
from . import (
    data_commands,
    embedding_commands,
    evidence_commands,
    export_commands,
    federated_commands,
    generate_command,
    job_commands,
    leakage_command,
    mixture_command,
    pairs_command,
    reference_commands,
    report_commands,
    score_commands,
    scoring_commands,
    selection_commands,
    serving,
    trial_commands,
    workspace_commands,
)
from .command_group import CommandGroup

app = typer.Typer(
    name=COMMAND,
    cls=CommandGroup,
    help="Score fine-tuning examples by learnability, explore, select, export.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help text has brackets of its own
)
app.command("demo")(scoring_commands.demo_command)
app.command("serve", context_settings=serving.PASSES_OPTIONS)(serving.serve)
app.command("import")(data_commands.import_command)
app.command("train")(scoring_commands.train)
app.command("folds")(reference_commands.folds_command)
app.command("add-reference")(reference_commands.add_reference_command)
app.command("merge-references")(reference_commands.merge_references_command)
app.command("score")(scoring_commands.score)
app.command("promptless")(scoring_commands.promptless)
app.command("embed")(embedding_commands.embed)
app.command("map")(embedding_commands.map_command)
app.command("generate")(generate_command.generate)
app.command("encode")(data_commands.encode)
app.command("evidence")(evidence_commands.evidence)
app.command("leakage")(leakage_command.leakage)
app.command("mixture")(mixture_command.mixture)
app.command("pairs")(pairs_command.pairs)
app.command("report")(report_commands.report)
app.add_typer(score_commands.scores_app, name="scores")
app.command("losses")(export_commands.losses)
app.add_typer(federated_commands.bundle_app, name="bundle")
app.command("merge")(federated_commands.merge)
app.command("near-duplicates")(data_commands.near_duplicates_command)
app.command("evaluate")(trial_commands.evaluate)
app.add_typer(trial_commands.trial_app, name="trial")
app.command("select")(selection_commands.select)
app.command("export")(export_commands.export)
app.command("masks")(export_commands.masks)
app.command("status")(workspace_commands.status)
app.add_typer(job_commands.jobs_app, name="jobs")
app.command("check")(workspace_commands.check)
app.command(
    "backup", help=f"Copy the store into one file, also while it is in use: {CONTENTS}. Not in it: {LEFT_OUT}."
)(workspace_commands.backup)
app.command("restore")(workspace_commands.restore_command)
app.command("version")(workspace_commands.version)
