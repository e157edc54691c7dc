"""The command that selects."""

from pathlib import Path
from typing import Annotated

import typer

from ..data.scores import DEFAULT_SCORE, SCORES
from ..data.text_search import SEARCH_KINDS
from ..exporting import selection_from_manifest
from ..selection import ORDERS, SCOPES, coverage_sentence, profile_sentence
from ..selection.recipe import BY_TEXT, MOST_CANDIDATES, MOST_CLUSTERS, MOST_LENGTH_BANDS, NEAR_BY, QUOTAS, SPREADS
from .options import AsJson, Workspace, number
from .recipe_options import RecipeOptions
from .terminal import done_by_owner, print_result, report_user_errors, say

_BESIDE_A_MANIFEST = {"name", "from_manifest", "workspace", "as_json"}


def select(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Name of the selection; an existing one is overwritten.")],
    run: Annotated[str | None, typer.Option(help="Run to select from.")] = None,
    ratio: Annotated[
        list[str] | None,
        typer.Option(metavar="R|DOMAIN=R", help="Share of rows to select, of all or of one domain. Can be repeated."),
    ] = None,
    rows: Annotated[int | None, number(min=1, help="Total rows to select, instead of a ratio.")] = None,
    tokens: Annotated[int | None, number(min=1, help="Total scored tokens to select, instead of a ratio.")] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DOMAIN=W",
            help="Weight of a domain in the total. Can be repeated. Domains without a weight get no rows.",
        ),
    ] = None,
    score: Annotated[str, typer.Option(help=f"Score to rank by: {', '.join(SCORES)}, imported_NAME.")] = DEFAULT_SCORE,
    add_score: Annotated[
        list[str] | None,
        typer.Option(metavar="SCORE=W", help="Add another score times a weight to the ranking. Can be repeated."),
    ] = None,
    scope: Annotated[
        str, typer.Option(help=f"{' or '.join(SCOPES)}: rank within each domain, or all together.")
    ] = "domain",
    control: Annotated[
        str,
        typer.Option(
            help=f"Ranking other than highest first: {', '.join(order for order in ORDERS if order != 'highest')}."
        ),
    ] = "highest",
    seed: Annotated[int, number(help="Seed of the random order.")] = 0,
    keep_duplicates: Annotated[bool, typer.Option(help="Keep every copy of equal conversations.")] = False,
    near_duplicates: Annotated[
        float | None,
        number(
            metavar="T",
            help="Keep only the best of each group that `near-duplicates` found at threshold T.",
        ),
    ] = None,
    near_duplicates_by: Annotated[
        str,
        typer.Option(help=f"What that search compared: {' or '.join(NEAR_BY)} (`near-duplicates --run`)."),
    ] = BY_TEXT,
    spread: Annotated[
        str | None,
        typer.Option(help=f"Spread the best rows by their embeddings: {' or '.join(SPREADS)} (`embed --run` first)."),
    ] = None,
    spread_weight: Annotated[
        float, number(min=0, max=1, help="How far the spread counts: 0 is the score alone, 1 the spread alone.")
    ] = 0.5,
    candidates: Annotated[
        int, typer.Option(min=2, max=MOST_CANDIDATES, help="How many of the best rows of each domain are spread.")
    ] = 2000,
    clusters: Annotated[
        int | None,
        number(
            metavar="K",
            min=2,
            max=MOST_CLUSTERS,
            help="Instead of --spread: group these best rows into K clusters by their embeddings (k-means).",
        ),
    ] = None,
    cluster_quota: Annotated[
        str, typer.Option(help=f"How many rows each cluster gives: {' or '.join(QUOTAS)} to its size.")
    ] = "equal",
    length_bands: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            max=MOST_LENGTH_BANDS,
            help="Rank within N bands of response length; each gives the same share of its rows. 0: no bands.",
        ),
    ] = 0,
    search: Annotated[str, typer.Option(metavar="TEXT", help="Only rows whose prompt or response contains this.")] = "",
    search_kind: Annotated[str, typer.Option(help=f"Type of --search: {', '.join(SEARCH_KINDS)}.")] = "words",
    keep: Annotated[
        list[str] | None, typer.Option(metavar="EXAMPLE_ID", help="Always select this conversation. Can be repeated.")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="EXAMPLE_ID", help="Never select this conversation. Can be repeated.")
    ] = None,
    from_manifest: Annotated[
        Path | None, typer.Option(help="Use the recipe from an export's manifest instead.")
    ] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Save a selection: the rows that a recipe selects."""
    with report_user_errors():
        if from_manifest:
            _refuse_recipe_options(context)
            selection = selection_from_manifest(from_manifest)
        else:
            selection = RecipeOptions(
                run, ratio or [], rows, tokens, weight or [], score, scope, control, seed, keep_duplicates,
                near_duplicates, search, search_kind, keep or [], leave_out or [],
                length_bands, add_score or [], near_duplicates_by, spread, spread_weight, candidates,
                clusters, cluster_quota,
            ).recipe()  # fmt: skip
    with report_user_errors():
        fields = done_by_owner(workspace, "select", {"name": name, "recipe": selection.to_fields()})
        rows = fields.pop("rows")
        for notice in fields["notices"]:
            say(notice)
        sentence = f"Selection {name!r}: {fields['kept']:,} of {rows:,} rows, {fields['tokens']:,} tokens."
        if "profile" in fields:  # an owner of an earlier version sends none
            sentence += f"\n{profile_sentence(fields['profile'])}"
        if fields.get("coverage"):
            sentence += f"\n{coverage_sentence(fields['coverage'])}"
        print_result(fields, as_json, sentence)


def _refuse_recipe_options(context: typer.Context) -> None:
    """Raise `typer.BadParameter` if an option was given that the manifest's recipe would leave unused."""
    for option in context.params.keys() - _BESIDE_A_MANIFEST:
        source = context.get_parameter_source(option)
        if source is not None and source.name != "DEFAULT":
            raise typer.BadParameter(
                f"--from-manifest has the whole recipe, so --{option.replace('_', '-')} has no effect. Leave it out."
            )
