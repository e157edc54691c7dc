"""The mixture's chart: shares before and after, in the domains' colours."""

import pandas as pd

from ui.charts import domain_colours, faded
from ui.charts.mixture_chart import MOST_DOMAINS, mixture_figure, mixture_shares

DOMAINS = pd.DataFrame(
    [("chat", 60, 600, 10, 200), ("math", 40, 1400, 30, 200)],
    columns=["domain", "rows", "tokens", "kept_rows", "kept_tokens"],
)


def test_shares_are_of_the_data_and_of_the_kept() -> None:
    found = mixture_shares(DOMAINS)
    assert found["share_rows"].tolist() == [0.6, 0.4]
    assert found["share_kept_rows"].tolist() == [0.25, 0.75]
    assert found["share_tokens"].tolist() == [0.3, 0.7]
    assert found["share_kept_tokens"].tolist() == [0.5, 0.5]


def test_where_nothing_is_kept_the_shares_are_zero() -> None:
    assert mixture_shares(DOMAINS.assign(kept_rows=0, kept_tokens=0))["share_kept_rows"].tolist() == [0, 0]


def test_bars_stand_side_by_side_in_the_domains_colours() -> None:
    colours = domain_colours(["chat", "math"])
    bars = mixture_figure(mixture_shares(DOMAINS), colours).data
    assert [(bar.name, list(bar.x)) for bar in bars] == [
        ("Data", [0.6, 0.4]),
        ("Selection", [0.25, 0.75]),
        ("Data", [0.3, 0.7]),
        ("Selection", [0.5, 0.5]),
    ]
    assert list(bars[1].marker.color) == [colours["chat"], colours["math"]]
    assert bars[0].marker.color[0] == faded(colours["chat"], 0.4)


def test_a_domains_name_is_no_html() -> None:
    hostile = DOMAINS.assign(domain=["<img src=x>", "math"])
    figure = mixture_figure(mixture_shares(hostile), domain_colours(hostile["domain"].tolist()))
    assert list(figure.data[0].y) == ["&lt;img src=x&gt;", "math"]


def test_of_many_domains_the_largest_before_or_after_are_drawn() -> None:
    many = pd.DataFrame(
        [(f"d{number:02}", 100 - number, 1, 1 if number == 39 else 0, 1) for number in range(40)],
        columns=DOMAINS.columns,
    )
    figure = mixture_figure(mixture_shares(many), domain_colours(many["domain"].tolist()))
    assert len(figure.data[0].y) == MOST_DOMAINS
    assert "d39" in figure.data[0].y
