"""The options of `python -m core select`, which repeat and name domains, as a recipe."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import typer

from ..data.errors import SelectionInvalid
from ..data.filters import RowFilter
from ..data.loss_roles import is_imported
from ..data.scores import SCORES
from ..data.text_search import ANY_TEXT, SEARCH_KINDS, TextSearch
from ..selection.recipe import (
    BY_TEXT,
    CLUSTERS,
    NEAR_BY,
    ORDERS,
    QUOTAS,
    SCOPES,
    SPREADS,
    Amount,
    Pick,
    Selection,
    Spread,
)


@dataclass(frozen=True, slots=True)
class RecipeOptions:
    """What was given on the command line, as it was given."""

    run: str | None
    ratios: Sequence[str]
    rows: int | None
    tokens: int | None
    weights: Sequence[str]
    score: str
    scope: str
    order: str
    seed: int
    keep_duplicates: bool
    near_duplicates: float | None
    search: str
    search_kind: str
    kept: Sequence[str]
    left_out: Sequence[str]
    length_bands: int
    added: Sequence[str] = ()
    near_duplicates_by: str = BY_TEXT
    spread: str | None = None
    spread_weight: float = 0.5
    candidates: int = 2000
    clusters: int | None = None
    quota: str = "equal"

    def recipe(self) -> Selection:
        """As a recipe. Raises `typer.BadParameter` for what is no use of the command, and `SelectionInvalid` for what
        a recipe cannot say."""
        for option, given, known in (
            ("--scope", self.scope, SCOPES),
            ("--control", self.order, ORDERS),
            ("--search-kind", self.search_kind, SEARCH_KINDS),
            ("--near-duplicates-by", self.near_duplicates_by, NEAR_BY),
        ):
            _check_known(option, given, known)
        if self.spread is not None:
            _check_known("--spread", self.spread, SPREADS)
        _check_known("--cluster-quota", self.quota, QUOTAS)
        if not is_imported(self.score):
            _check_known("--score", self.score, SCORES)
        amount, by_domain = self._amounts()
        if self.run is None:
            raise SelectionInvalid("Name the run to select from with --run, or a manifest with --from-manifest.")
        picks = [Pick(example_id, True) for example_id in self.kept]
        picks += [Pick(example_id, False) for example_id in self.left_out]
        return Selection(
            run=self.run,
            score=self.score,
            order=self.order,
            scope=self.scope,
            amount=amount,
            domain_amounts=by_domain,
            collapse_duplicates=not self.keep_duplicates,
            filter=RowFilter(search=TextSearch(self.search, self.search_kind) or ANY_TEXT),
            seed=self.seed,
            weights=self._weights(),
            near_duplicates=self.near_duplicates,
            picks=tuple(picks),
            length_bands=self.length_bands,
            near_duplicates_by=self.near_duplicates_by,
            spread=self._spread(),
            added=dict(_of_domain("--add-score", given) for given in self.added),
        )

    def _spread(self) -> Spread | None:
        """--spread or --clusters."""
        if self.clusters is not None and self.spread not in (None, CLUSTERS):
            raise typer.BadParameter("--spread and --clusters order the same rows. Give one of them.")
        if self.spread == CLUSTERS and self.clusters is None:
            raise typer.BadParameter("Give --clusters K: how many clusters.")
        if self.clusters is not None:
            return Spread(CLUSTERS, candidates=self.candidates, clusters=self.clusters, quota=self.quota)
        return Spread(self.spread, self.spread_weight, self.candidates) if self.spread else None

    def _weights(self) -> dict[str, float]:
        """--weight DOMAIN=W by domain."""
        found: dict[str, float] = {}
        for given in self.weights:
            domain, weight = _of_domain("--weight", given)
            if domain in found:
                raise typer.BadParameter(f"--weight {given!r} is a second weight of the same domain. Give one.")
            found[domain] = weight
        return found

    def _amounts(self) -> tuple[Amount, dict[str, Amount]]:
        """--ratio R, --ratio DOMAIN=R, --rows and --tokens as amounts."""
        totals = [(kind, given) for kind, given in (("rows", self.rows), ("tokens", self.tokens)) if given is not None]
        if len(totals) + bool(self.ratios) > 1:
            raise typer.BadParameter("--ratio, --rows and --tokens exclude each other.")
        if totals:
            return Amount(*totals[0]), {}
        overall, by_domain = None, {}
        for given in self.ratios:
            domain, equals, value = given.rpartition("=")
            amount = Amount("ratio", _number("--ratio", given, value))
            if domain in by_domain or (not equals and overall is not None):
                raise typer.BadParameter(f"--ratio {given!r} is a second ratio of the same rows. Give one.")
            if equals:
                by_domain[domain] = amount
            else:
                overall = amount
        if overall is None and (self.weights or not by_domain):
            raise typer.BadParameter("Give --ratio R, --rows or --tokens: how much to keep in all.")
        return overall or Amount("ratio", 0.0), by_domain


def _check_known(option: str, given: str, known: Iterable[str]) -> None:
    if given not in known:
        raise typer.BadParameter(f"Unknown {option} {given!r}. Must be one of: {', '.join(known)}.")


def _of_domain(option: str, given: str) -> tuple[str, float]:
    domain, equals, value = given.rpartition("=")
    if not equals:
        raise typer.BadParameter(f"{option} {given!r} is not {'SCORE' if option == '--add-score' else 'DOMAIN'}=W.")
    return domain, _number(option, given, value)


def _number(option: str, given: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise typer.BadParameter(f"{option} {given!r} holds no number where one should be: {value!r}.") from None
