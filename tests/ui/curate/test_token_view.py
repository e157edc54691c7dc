"""The token view: what is drawn of hostile text, in which colours, and the view itself over real tiny models."""

import html
import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.scoring.tokens.losses import TokenLosses
from core.store import Store
from tests.core.scored_models import score_examples
from tests.tiny_models import example
from tests.ui.contrast import THEMES, contrast
from ui.curate.token_view import drawn_tokens, summary, token_table
from ui.kit.token_flow import STYLE, DrawnToken, difference_style, legend, loss_style, token_flow, token_name, visible

HOSTILE = '<img src="http://example.invalid/x.png" onerror="x()">&lt;![a](b)'
LOSSES = TokenLosses(
    ("Q", "?\n", "", "yes", HOSTILE),
    (False, False, True, True, True),
    (None, None, 2.0, 0.5, 4.0),
    (None, None, 0.5, 0.75, None),
)


# What is drawn


def test_hostile_text_is_text_wherever_it_stands() -> None:
    drawn = token_flow([DrawnToken(HOSTILE, "context"), DrawnToken(HOSTILE, "loss-3", "1.0")], "Point at it.")
    assert re.findall(r"<(\w+)", drawn) == ["div", "div", "div", "span", "span"]
    assert html.escape(HOSTILE) in drawn
    assert drawn.count("http") == 2 + 1  # as the text of both, and where the second is named


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a↵\nb"),
        ("a\r\n", "a⟨U+000D⟩↵\n"),
        ("\t", "⇥\t"),
        ("\x00\x1b\x7f", "⟨U+0000⟩⟨U+001B⟩⟨U+007F⟩"),
        ("\u202eabc\u2066", "⟨U+202E⟩abc⟨U+2066⟩"),
        ("a\u200bb\ufeff", "a⟨U+200B⟩b⟨U+FEFF⟩"),
        ("\u2028", "⟨U+2028⟩"),
        ("\u3164\U000e0041", "⟨U+3164⟩⟨U+E0041⟩"),
        ("שלום 雷 🎉", "שלום 雷 🎉"),
    ],
)
def test_what_would_not_be_seen_or_would_rearrange_others_has_a_sign(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_token_without_text_of_its_own_can_still_be_pointed_at() -> None:
    assert ">·</span>" in token_flow([DrawnToken("", "loss-1", "0.1")])
    assert token_name("") == "(part of the previous character)"


def test_a_token_that_is_endless_is_cut_with_its_length_said() -> None:
    drawn = token_flow([DrawnToken("x" * 1_300, "context")])
    assert "x… and 1,000 more characters" in drawn
    assert "x" * 301 not in drawn


def test_a_colour_is_stronger_for_more_and_says_which_way_the_loss_went() -> None:
    assert [loss_style(value) for value in (0.0, 0.05, 1.0, 99.0, None)] == [
        "loss-0",
        "loss-1",
        "loss-4",
        "loss-7",
        "odd",
    ]
    assert [difference_style(value) for value in (0.01, 2.5, -2.5)] == ["fell-0", "fell-5", "rose-5"]


@pytest.mark.parametrize("theme", THEMES)
def test_text_keeps_its_contrast_on_every_colour_in_both_themes(theme: str) -> None:
    page, text = THEMES[theme]
    rules = re.findall(r"background: rgba\((\d+), (\d+), (\d+), ([\d.]+)\); }", STYLE)
    assert len(rules) == 3 * 7 + 1
    for *colour, opacity in rules:
        blend = [float(opacity) * int(c) + (1 - float(opacity)) * p for c, p in zip(colour, page, strict=True)]
        assert contrast(blend, text) >= 4.5


def test_the_legend_names_the_steps_of_the_scale() -> None:
    assert re.findall(r">([^<>]+)</span>", legend("loss")) == [
        "below 0.05", "0.05", "0.2", "0.5", "1", "2", "4", "8 or more",
    ]  # fmt: skip
    assert re.findall(r">([^<>]+)</span>", legend("difference"))[6:9] == ["−0.05", "within ±0.05", "+0.05"]


def test_only_scored_tokens_are_coloured_and_have_their_exact_values() -> None:
    drawn = drawn_tokens(LOSSES, "Difference", range(5))
    assert [token.style for token in drawn] == ["context", "context", "fell-4", "rose-2", "odd"]
    assert drawn[2].hover == "token 3: base 2.0000, reference 0.5000, difference +1.5000 nats"
    assert drawn[4].hover == "token 5: base 4.0000, reference not finite, difference not finite nats"
    assert drawn[0].hover == ""
    assert [token.style for token in drawn_tokens(LOSSES, "Base", range(2, 4))] == ["loss-5", "loss-3"]


def test_the_table_holds_every_scored_token() -> None:
    table = token_table(LOSSES)
    assert table["place"].tolist() == [2, 3, 4]
    assert table["token"].tolist()[:2] == ["(part of the previous character)", "yes"]
    assert table["difference"].tolist()[:2] == [1.5, -0.25]


def test_the_summary_says_where_the_gain_lies() -> None:
    assert summary(LOSSES) == "3 of 5 tokens are scored. Some losses are not finite (dotted outline)."
    many = TokenLosses(("a",) * 12, (True,) * 12, (2.0,) * 12, (1.0,) * 11 + (3.0,))
    assert summary(many) == (
        "12 of 12 tokens are scored: base 2.0000, reference 1.1667 nats per token. The loss fell on 11 and rose on 1. "
        "The 10 largest decreases are 91% of the total decrease."
    )


# The view


@pytest.fixture
def workspace(page_workspace: Path, tiny_base: Path, tiny_reference: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Row 1 has hostile text, row 2 several turns, row 3 nothing to score, row 4 more tokens than one page shows."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    rows = [
        example(("user", HOSTILE), ("assistant", f"{HOSTILE}\u202e")),
        example(("user", "How many?"), ("assistant", "12."), ("user", "Sure?"), ("assistant", "Yes.")),
        example(("user", "word " * 2_000), ("assistant", "Too late.")),
    ]
    with Store.open(page_workspace, "a test") as store:
        score_examples(store, rows, tiny_base, tiny_reference, max_length=300)
    return page_workspace


@pytest.fixture
def view(workspace: Path) -> AppTest:
    return AppTest.from_function(token_page, default_timeout=60)


def token_page() -> None:
    import streamlit as st

    from ui.curate.token_view import show_token_view
    from ui.shell.session import open_session

    show_token_view(open_session(), "tiny", int(st.query_params.get("row", "1")))


def flow(page: AppTest) -> str:
    """HTML of the tokens; empty where none are shown."""
    return next((element.proto.body for element in page.get("html") if '"lobass-tokens"' in element.proto.body), "")


def test_tokens_come_by_a_button_and_from_then_on_by_themselves(view: AppTest) -> None:
    page = view.run()
    assert not flow(page)
    page.button(key="show_tokens").click().run()
    assert not page.exception
    assert "<img" not in flow(page)
    text = html.unescape(re.sub(r"<[^>]+>", "", flow(page)))
    assert text.count(HOSTILE) == 2
    assert "⟨U+202E⟩" in text
    page.segmented_control(key="token_colouring").set_value("Reference").run()
    assert re.search(r'class="loss-\d"', flow(page))
    assert "Highest reference loss" in [heading.value.removeprefix("##### ") for heading in page.markdown]
    page.query_params["row"] = "2"
    page.run()
    scored = "".join(re.findall(r'data-label="[^"]*">([^<]*)<', flow(page)))
    assert html.unescape(scored) == "12.<|end|>Yes.<|end|>"
    page.query_params["row"] = "3"
    assert "No token of this row is scored: prompt fills" in page.run().info[0].value.replace("\\", "")
    page.query_params["row"] = "77"
    assert "no row 77" in page.run().error[0].value


def test_a_run_without_models_says_so_and_offers_to_try_again(page_workspace: Path) -> None:
    from tests.core.scored_rows import ScoredRow, add_scored_run

    with Store.open(page_workspace, "a test") as store:
        add_scored_run(store, [ScoredRow("chat", 2.0, 1.0)], run="tiny")
    page = AppTest.from_function(token_page, default_timeout=60).run()
    page.button(key="show_tokens").click().run()
    assert "does not record where its models are" in page.error[0].value
    assert page.button(key="show_tokens").label == "Try again"


def long_page() -> None:
    from core.scoring.tokens.losses import TokenLosses
    from ui.curate.token_view import show_losses

    scored = tuple(place == 4_010 for place in range(4_050))
    losses = tuple(1.0 if counts else None for counts in scored)
    doubts = ("Under base *these* do not add up.",)
    show_losses(TokenLosses(("a",) * 4_050, scored, losses, losses, 1_234, doubts), "long")


def test_more_tokens_than_a_page_holds_are_paged_from_where_scoring_begins() -> None:
    page = AppTest.from_function(long_page, default_timeout=60).run()
    assert not page.exception
    captions = "\n".join(text.value for text in page.caption)
    assert "Tokens 4,001 to 4,050 of 4,050." in captions
    assert "1,234 more characters were cut off" in captions
    assert flow(page).count("<span") == 50
    assert page.warning[0].value == "Under base \\*these\\* do not add up\\."
