"""The kinds of arms a trial may have, and the metrics it may be judged by."""

from dataclasses import dataclass

from ..exporting.controls import CONTROLS

DEFAULT_DRAWS = 5


@dataclass(frozen=True, slots=True)
class ArmKind:
    """One kind of arm. `draws`: how often its rows are drawn by default. `random`: may be what the others are compared
    with. `follows_selection`: its tokens match a selection's, at each ratio of the trial. `trained`: by the trial."""

    name: str
    label: str
    help: str
    draws: int = 1
    random: bool = False
    follows_selection: bool = True
    trained: bool = True


def _control(name: str) -> ArmKind:
    control = CONTROLS[name]
    return ArmKind(name, control.label, control.help, DEFAULT_DRAWS if control.seeded else 1, control.seeded)


ARMS = {
    kind.name: kind
    for kind in (
        ArmKind("selection", "Selection", "the rows of a recipe"),
        _control("random-by-domain"),
        _control("random"),
        ArmKind(
            "length-matched-random",
            "Random by domain and length",
            "random rows with the selection's domains and response lengths (deciles of each domain)",
            DEFAULT_DRAWS,
            True,
        ),
        _control("longest"),
        _control("lowest-score"),
        _control("highest-base-loss"),
        ArmKind("all", "All rows", "every scored row, whatever the recipe filters", follows_selection=False),
        ArmKind(
            "outside",
            "Trained elsewhere",
            "models trained elsewhere, only evaluated here",
            follows_selection=False,
            trained=False,
        ),
    )
}
"""All kinds of arms. A trial's arms are compared with the first random kind in this table that it has."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One way to average held-out losses. `by_row`: mean of rows' means, else of all tokens together. `end_of_turn`:
    whether the token that ends a reply counts."""

    name: str
    label: str
    by_row: bool
    end_of_turn: bool = True


METRICS = {
    metric.name: metric
    for metric in (
        Metric("token_weighted", "Token-weighted held-out loss", False),
        Metric("row_weighted", "Row-weighted held-out loss", True),
        Metric("token_weighted_without_end", "Token-weighted held-out loss without end-of-turn", False, False),
        Metric("row_weighted_without_end", "Row-weighted held-out loss without end-of-turn", True, False),
    )
}
