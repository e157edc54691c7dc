"""The charts of evidence, read as the figure's data."""

import json

import pandas as pd
import plotly.graph_objects as go

from ui.charts import domain_colours
from ui.charts.evidence_charts import agreement_figure, learnability_gap_figure, length_figure, losses_by_pass_figure

HOSTILE = "<img src=x onerror=alert(1)>"
COLOURS = domain_colours(["chat", HOSTILE])


def by_domain(**columns: list[float]) -> pd.DataFrame:
    """All domains first, then chat, a hostile name, and one that has no colour."""
    return pd.DataFrame(
        {
            "overall": [True, False, False, False],
            "domain": ["", "chat", HOSTILE, "undrawn"],
            "rows": [9, 3, 3, 3],
            **columns,
        }
    )


def is_no_markup(figure: go.Figure) -> bool:
    return "<img" not in json.dumps(figure.to_dict(), default=str)


def test_own_and_cross_fitted_medians_lie_on_the_domains_row_in_its_colour() -> None:
    names = ("own_q25", "own", "own_q75", "cross_q25", "cross_fitted", "cross_q75")
    memory = by_domain(**{name: [0.1 * place] * 4 for place, name in enumerate(names)})
    figure = learnability_gap_figure(memory, COLOURS)
    marks = [trace for trace in figure.data if trace.x[0] is not None]
    assert [trace.x[0] for trace in marks] == [0.4, 0.1] * 2
    assert [trace.marker.color for trace in marks] == [COLOURS["chat"]] * 2 + [COLOURS[HOSTILE]] * 2
    assert [round(trace.y[0]) for trace in marks] == [1, 1, 0, 0]
    assert marks[0].error_x.array[0] == marks[0].error_x.arrayminus[0] != 0
    assert len(figure.layout.yaxis.ticktext) == 2
    assert is_no_markup(figure)


def test_held_out_losses_are_solid_and_own_ones_dashed() -> None:
    lines = [
        (domain == "", domain, rows, place, float(place), models, 2.0 - place, 1.9 - place, 2.1 - place)
        for domain, models in (("", 2), ("chat", 2), (HOSTILE, 1), ("undrawn", 1))
        for rows in ("held_out", "own")
        for place in (0, 1)
    ]
    columns = ["overall", "domain", "rows", "place", "passes", "models", "loss", "lowest", "highest"]
    figure = losses_by_pass_figure(pd.DataFrame(lines, columns=columns), COLOURS)
    assert [trace.line.dash for trace in figure.data] == ["solid", "dash"] * 2
    assert figure.data[0].y == figure.data[2].y == (2.0, 1.0)
    assert sum(trace.error_y.array is not None for trace in figure.data) == 2
    assert is_no_markup(figure)


def test_the_overlap_is_drawn_beside_chance_without_shares_that_keep_no_row() -> None:
    tops = pd.DataFrame(
        {"share": [0.015, 0.06, 1.0], "top": [0, 6, 100], "overlap": [None, 0.5, 1.0], "chance": [0, 0.06, 1.0]}
    )
    figure = agreement_figure({"Two seeds": tops, HOSTILE: tops}, HOSTILE)
    assert figure.data[0].y == (0, 0.06, 1.0)
    assert [trace.x for trace in figure.data[1:]] == [(0.06, 1.0)] * 2
    assert figure.data[1].line.color != figure.data[2].line.color
    assert is_no_markup(figure)


def test_the_three_forms_are_drawn_by_domain() -> None:
    names = ("implicit_reward", "loss_difference", "learnability")
    length = by_domain(**{f"spearman_{name}": [0.0, 0.5, -0.5, 0.9] for name in names})
    figure = length_figure(length, list(COLOURS))
    assert [trace.x for trace in figure.data] == [(0.5, -0.5)] * 3
    assert len({trace.marker.symbol for trace in figure.data}) == 3
    assert is_no_markup(figure)
