"""Scores: the SQL, the numpy and the definitions agree, and every row without a score says why."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.errors import SelectionInvalid
from core.data.scores import DEFAULT_SCORE, FLAGS, SCORES, needed_roles, score_named
from tests.fakes import ScoredRecord, add_losses_of_role, add_scored_records, build_scored_store

NAN, INF = float("nan"), float("inf")


def scored_frame(folder: Path, records: Sequence[ScoredRecord]) -> pd.DataFrame:
    """The scored table of the records, in their order."""
    with build_scored_store(folder, records) as store:
        return store.frame(f"SELECT * FROM {store.run('planets')['table']} ORDER BY row_number")


def cross_fitted_frame(
    folder: Path, records: Sequence[ScoredRecord], own: list[float], spread: list[float], alone: list[float]
) -> pd.DataFrame:
    """The scored table of the records, with losses of models trained on the row, a spread over seeds, and losses
    without the prompt (under the reference, 0.6 of those under the base; under a null reference, 0.5)."""
    with build_scored_store(folder, records) as store:
        add_losses_of_role(store, "own", own)
        add_losses_of_role(store, "seed_spread", spread)
        add_losses_of_role(store, "base_alone", alone)
        add_losses_of_role(store, "reference_alone", [loss * 0.6 for loss in alone])
        add_losses_of_role(store, "null_reference", [loss * 0.5 for loss in alone])
        return store.frame(f"SELECT * FROM {store.run('planets')['table']} ORDER BY row_number")


def test_the_scores_of_one_row_are_what_a_person_computes_by_hand(tmp_path: Path) -> None:
    # Four tokens, 8 nats under the base and 2 under the reference: three quarters of the loss are gone. The models that
    # were trained on the row leave 1 nat, and two seeds differ by 0.4 nats. The last token ends the turn, with 5 of the
    # 8 nats and half a nat of the 2: without it, 3 nats become 1.5, and it had 4.5 of the 6. Without the prompt a token
    # takes 2.5 nats under the base, 1.5 under the reference, and 1.25 under one that was trained without prompts.
    frame = cross_fitted_frame(
        tmp_path, [ScoredRecord("chat", 2.0, 0.5, 4, end_losses=(5.0, 0.5))], [0.25], [0.1], [2.5]
    )
    found = {name: float(frame[name].iloc[0]) for name in SCORES}
    assert found == pytest.approx(
        {
            "learnability": 0.75,
            "loss_difference": 1.5,
            "implicit_reward": 6.0,
            "learnability_without_end": 0.5,
            "end_share_of_gain": 0.75,
            "base_loss": 2.0,
            "reference_loss": 0.5,
            "base_perplexity": 7.389056,
            "bits_per_token": 2.885390,
            "ifd": 0.8,  # 2 nats a token with the prompt, 2.5 without
            "ifd_perplexity": 0.606531,  # exp(-0.5)
            "pvi_like": 5.770780,  # (6 - 2) / ln 2
            "pvi": 4.328085,  # (5 - 2) / ln 2
            "grape_margin": NAN,  # its prompt has no other response
            "learnability_quantile": 0.0,  # no other row
            "learnability_in_length_band": 0.0,
            "own_learnability": 0.875,
            "memory_gap": 0.125,
            "learnability_spread": 0.05,
            "preference_margin": NAN,  # it is in no pair
            "normalised_margin": NAN,
            "dpo_loss": NAN,
        },
        nan_ok=True,
    )


def test_the_scores_of_a_pair_are_what_a_person_computes_by_hand(tmp_path: Path) -> None:
    # Chosen: 4 tokens from 2 nats to 0.5, a reward of 6 and a learnability of 0.75. Rejected: 10 tokens from 1 nat to
    # 0.5, 5 and 0.5. A second pair has no loss on one side, and a third is as the base has it.
    records = [
        *(ScoredRecord("chat", 2.0, 0.5, 4, is_chosen=True), ScoredRecord("chat", 1.0, 0.5)),
        *(ScoredRecord("chat", 2.0, 0.5, 4, is_chosen=True), ScoredRecord("chat", 1.0, None)),
        *(ScoredRecord("chat", 1.5, 1.5, is_chosen=True), ScoredRecord("chat", 0.5, 0.5)),
        ScoredRecord("chat", 2.0, 0.5),
    ]
    frame = scored_frame(tmp_path, records)
    of_pairs = frame[["preference_margin", "normalised_margin", "dpo_loss"]].to_numpy(dtype=float, na_value=np.nan)
    assert of_pairs[0] == pytest.approx([1.0, 0.25, 0.313262])  # ln(1 + 1 / e)
    assert of_pairs[4] == pytest.approx([0.0, 0.0, 0.693147])  # ln 2
    np.testing.assert_array_equal(of_pairs[[0, 2, 4]], of_pairs[[1, 3, 5]])
    assert np.isnan(of_pairs[[2, 6]]).all()
    assert frame["pair"].tolist()[:6] == [1, 1, 3, 3, 5, 5]
    assert frame["side"].tolist()[:2] == ["chosen", "rejected"]


def test_the_dpo_loss_has_its_beta_from_the_settings_and_is_exact_far_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOBASS_DPO_BETA", "0.5")
    pairs = [(3.0, 1.0), (1.0, 3.0), (300.0, 1.0), (1.0, 300.0)]
    records = [
        ScoredRecord("chat", base, 1.0, is_chosen=place == 0) for pair in pairs for place, base in enumerate(pair)
    ]
    # ln(1 + exp(-10)), that plus 10, and half of the margins of 2,990 nats
    expected = [4.539890e-05, 10.000045, 0.0, 1495.0]
    assert scored_frame(tmp_path, records)["dpo_loss"].tolist()[::2] == pytest.approx(expected, rel=1e-6)


def test_sql_and_numpy_agree_on_every_score_of_random_rows(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    special = [0.0, NAN, INF, None, 1e-12, 20.0]
    records = []
    for number in range(600):
        base, reference = (float(loss) for loss in random.gamma(1.5, 1.0, 2))
        if number % 5 == 0:
            base = special[number // 5 % len(special)]
        if number % 7 == 0:
            reference = special[number // 7 % len(special)]
        ends = None if number % 11 == 0 else (float(random.gamma(1.5)), float(random.gamma(1.5)))
        records.append(ScoredRecord("chat", base, reference, int(random.integers(1, 2000)), end_losses=ends))
    frame = cross_fitted_frame(tmp_path, records, *(random.gamma(1.5, 1.0, 600).tolist() for _ in range(3)))
    sums = [f"{role}_{column}" for role in needed_roles() for column in ("nll_sum", "end_nll_sum")]
    columns = {
        name: frame[name].to_numpy(dtype=float, na_value=np.nan)
        for name in (*sums, *(f"{role}_loss" for role in needed_roles()), "token_count", "end_token_count")
    }
    for name, score in SCORES.items():
        if score.compute is None:
            continue
        in_sql = frame[name].to_numpy(dtype=float, na_value=np.nan)
        np.testing.assert_allclose(in_sql, score.compute(columns), rtol=1e-12, err_msg=name)
        assert 0 < np.isfinite(in_sql).sum() < len(frame), name
    assert len(frame) == 600


def test_a_reply_that_is_only_an_end_of_turn_has_its_whole_gain_from_it(tmp_path: Path) -> None:
    # The sums may differ by rounding, which must not become a score of a text that is not there.
    row = scored_frame(tmp_path, [ScoredRecord("chat", 5.000000000000001, 1.0, 1, end_losses=(5.0, 1.0))]).iloc[0]
    assert pd.isna(row["learnability_without_end"])
    assert row["end_share_of_gain"] == pytest.approx(1.0)


def test_without_a_gain_there_is_no_share_of_it(tmp_path: Path) -> None:
    row = scored_frame(tmp_path, [ScoredRecord("chat", 2.0, 2.0, 4, end_losses=(5.0, 3.0))]).iloc[0]
    assert pd.isna(row["end_share_of_gain"])
    assert row["learnability_without_end"] == pytest.approx((3 - 5) / 3)


def test_losses_of_earlier_versions_have_only_the_scores_that_they_had(tmp_path: Path) -> None:
    row = scored_frame(tmp_path, [ScoredRecord("chat", 2.0, 0.5, 4)]).iloc[0]
    empty = {"learnability_without_end", "end_share_of_gain", "grape_margin"}
    of_both_models = {name for name, score in SCORES.items() if {*score.roles} <= {"base", "reference"}}
    assert {name for name in of_both_models if pd.isna(row[name])} == empty
    assert pd.isna(row["base_end_nll_sum"])
    assert pd.isna(row["end_token_count"])
    assert not row["not_scored"]


def test_learnability_is_the_same_from_sums_and_from_means(tmp_path: Path) -> None:
    frame = scored_frame(tmp_path, [ScoredRecord("chat", 1 + i / 7, 0.3 + i / 3, 1 + i * i) for i in range(20)])
    from_means = 1 - frame["reference_loss"] / frame["base_loss"]
    np.testing.assert_allclose(frame["learnability"].astype(float), from_means.astype(float), rtol=1e-12)


def test_a_row_that_got_worse_keeps_its_negative_score(tmp_path: Path) -> None:
    frame = scored_frame(tmp_path, [ScoredRecord("chat", 0.5, 5.0)])
    assert float(frame["learnability"].iloc[0]) == pytest.approx(-9.0)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("by", ["base", "reference"])
def test_a_loss_that_is_not_finite_is_null_and_flagged(tmp_path: Path, bad: float, by: str) -> None:
    losses = (bad, 1.0) if by == "base" else (1.0, bad)
    row = scored_frame(tmp_path, [ScoredRecord("chat", *losses)]).iloc[0]
    assert row["non_finite"]
    assert pd.isna(row[f"{by}_nll_sum"])
    assert pd.isna(row[f"{by}_loss"])
    assert pd.isna(row["learnability"])
    assert not row["not_scored"]


def test_a_base_loss_of_zero_has_no_learnability_and_a_small_one_a_flag(tmp_path: Path) -> None:
    frame = scored_frame(
        tmp_path, [ScoredRecord("chat", 0.0, 1.0), ScoredRecord("chat", 0.01, 0.005), ScoredRecord("chat", 1.0, 0.5)]
    )
    assert frame["zero_base_loss"].tolist() == [True, False, False]
    assert frame["low_base_loss"].tolist() == [False, True, False]
    assert frame["learnability"].isna().tolist() == [True, False, False]
    assert float(frame["learnability"].iloc[1]) == pytest.approx(0.5)  # no silent epsilon
    assert float(frame["loss_difference"].iloc[0]) == pytest.approx(-1.0)


def test_the_floor_of_a_low_base_loss_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_LOW_BASE_LOSS", "0.5")
    frame = scored_frame(tmp_path, [ScoredRecord("chat", 0.4, 0.1), ScoredRecord("chat", 0.6, 0.1)])
    assert frame["low_base_loss"].tolist() == [True, False]


def test_a_difference_below_the_larger_noise_floor_is_unresolved(tmp_path: Path) -> None:
    records = [ScoredRecord("chat", 1.0, 1.0 + difference) for difference in (0.01, -0.01, 0.03, -0.03)]
    with build_scored_store(tmp_path, records) as store:
        reference_set = store.ensure_loss_set("reference weights", "plain text", "reference")
        store.set_noise_floor(reference_set, 0.02)
        add_scored_records(store, records)  # the same again: only the scored table is built anew
        frame = store.frame(f"SELECT * FROM {store.run('planets')['table']} ORDER BY row_number")
    assert frame["unresolved"].tolist() == [True, True, False, False]


def test_a_row_without_a_scored_token_has_its_reason_and_no_loss(tmp_path: Path) -> None:
    reason = "prompt fills the maximum length"
    row = scored_frame(tmp_path, [ScoredRecord("chat", None, None, 0, truncated=True, reason=reason)]).iloc[0]
    assert (row["reason"], row["no_scored_token"], row["truncated"], row["token_count"]) == (reason, True, True, 0)
    assert pd.isna(row["base_loss"])
    assert pd.isna(row["learnability"])
    assert not row["zero_base_loss"]
    assert not row["non_finite"]


def test_a_row_that_one_model_has_not_scored_is_flagged(tmp_path: Path) -> None:
    frame = scored_frame(
        tmp_path, [ScoredRecord("chat", 1.0, None), ScoredRecord("chat", None, 1.0), ScoredRecord("chat", 1.0, 1.0)]
    )
    assert frame["not_scored"].tolist() == [True, True, False]
    assert frame["learnability"].isna().tolist() == [True, True, False]


def test_every_score_and_flag_is_a_column_of_the_scored_table(tmp_path: Path) -> None:
    columns = list(scored_frame(tmp_path, [ScoredRecord("chat", 1.0, 0.5)]).columns)
    assert {*SCORES, *FLAGS} <= set(columns)
    assert len(columns) == len(set(columns))


def test_an_unknown_score_is_answered_with_those_there_are() -> None:
    assert score_named(DEFAULT_SCORE) is SCORES["learnability"]
    with pytest.raises(
        SelectionInvalid, match=r"Unknown score 'beauty'. Must be one of: learnability, loss_difference"
    ):
        score_named("beauty")


def test_only_relative_scores_have_no_numpy() -> None:
    assert {name for name, score in SCORES.items() if score.compute is None} == {
        name for name, score in SCORES.items() if score.relative
    }
    assert SCORES["grape_margin"].relative
