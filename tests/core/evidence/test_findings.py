"""All evidence about a run: one verdict a question, from hand-made runs and from one real cross-fitted one."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import core
from core.data.errors import NotFound
from core.data.filters import EVERYTHING
from core.evidence.end_of_turn import end_of_turn
from core.evidence.findings import evidence_of
from core.evidence.verdicts import Standing, length_verdict
from core.exploring.length_bias import length_bias
from core.store import Store
from tests import command_line
from tests.core.scored_rows import ScoredRow, add_scored_run
from tests.cross_fitted import NAME
from tests.cross_fitted_rows import JudgedRow, add_judged_run, write_model
from tests.two_runs import TwiceScored, import_rows, score_rows


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "a test") as opened:
        yield opened


@pytest.fixture
def real(cross_fitted: Path, tmp_path: Path) -> Path:
    """A workspace with a real cross-fitted run."""
    shutil.copytree(cross_fitted / "workspace", tmp_path / "w")
    return tmp_path / "w"


def answers(store: Store, run: str) -> dict[str, tuple[Standing, str]]:
    return {verdict.question: (verdict.standing, verdict.answer) for verdict in evidence_of(store, run).verdicts}


def test_a_real_cross_fitted_run_shows_memory_and_the_health_of_its_models(real: Path) -> None:
    with Store.open(real, "a test") as store:
        found = evidence_of(store, NAME)
        table = store.run(NAME)["table"]
        both, rows = store.rows(f"SELECT count(own_learnability), count(learnability) FROM {table}")[0]
        gains = "sum(base_end_nll_sum - reference_end_nll_sum), sum(base_nll_sum - reference_nll_sum)"
        end_gain, gain = store.rows(f"SELECT {gains} FROM {table} WHERE learnability_without_end IS NOT NULL")[0]
    assert found.kind.kind == "cross_fitted"
    assert found.memory["domain"].tolist() == ["", "even", "odd"]
    assert 0 < found.memory["rows"].iloc[0] == both < rows
    assert found.memory["memory_share"].notna().all()
    assert found.trained_top.empty
    assert found.health.models == 2
    assert found.health.too_few_steps
    assert sorted(found.health.by_pass["place"].unique()) == [0, 1, 2]
    assert set(found.health.by_pass["models"]) == {2}
    bases = found.health.by_pass.query("place == 0 and rows == 'held_out'")
    assert bases["lowest"].tolist() == pytest.approx(bases["highest"].tolist(), rel=1e-4)
    assert found.end_of_turn["rows"].iloc[0] == rows
    assert found.end_of_turn["end_share"].iloc[0] == pytest.approx(end_gain / gain)
    assert found.own is not None
    assert found.own.ranks["rows"].iloc[0] == both
    assert found.seeds is found.order is None
    questions = ["Is it memory?", "Is it length or the end token?", "Is it stable?", "Does it beat random?"]
    assert [verdict.question for verdict in found.verdicts] == questions


def test_the_command_prints_sentences_and_json_that_notebooks_get_too(real: Path) -> None:
    fields = command_line.result(real, "evidence", "--run", NAME)
    with core.open(real) as opened:
        found = opened.evidence(NAME)
    assert json.loads(json.dumps(found.to_fields(), default=str)) == fields
    done = command_line.run(real, "evidence", "--run", NAME)
    assert done.stdout.splitlines() == found.sentences()
    assert command_line.run(real, "evidence", "--run", "none").returncode == 1


def test_memory_is_told_by_health_where_rows_were_held_out(store: Store, tmp_path: Path) -> None:
    add_scored_run(store, [ScoredRow("chat", 10.0, 5.0, response=str(n)) for n in range(4)])
    losses = {("held_out", "chat"): [2.0, 1.9], ("own", "chat"): [2.0, 1.0], ("held_out", "math"): [1.0, 0.5],
              ("own", "math"): [1.0, 0.4]}  # fmt: skip
    (base, reference) = (store.run("first")["loss_sets"][role] for role in ("base", "reference"))
    spec = {"label": "m", "path": str(write_model(tmp_path / "m", losses)), "adapter": None, "weights_hash": "h"}
    described = {"models": {"reference": spec}, "model_fingerprints": {"reference": "reference model"}}
    store.save_run("told", "data", {"base": base, "reference": reference}, described)
    assert answers(store, "told")["Is it memory?"] == (
        Standing.CAUTION,
        "Mostly in chat; over all domains on unseen rows the loss fell 20%, on the reference's own rows it fell 53%.",
    )


def test_without_evidence_each_verdict_names_the_command_that_brings_it(store: Store) -> None:
    add_scored_run(store, [ScoredRow("chat", 10.0, 5.0)])
    found = answers(store, "first")
    memory, length, stable, trial = found.values()
    assert memory[0] is stable[0] is trial[0] is length[0] is Standing.UNKNOWN
    assert memory[1].startswith("Not known: there is no record of what the reference was trained on.")
    assert "train --folds 2 --held-out 0.1, then" in memory[1]
    assert "train --folds 2 --seeds 2" in stable[1]
    assert trial[1].startswith("No trial has been run:")
    assert "trial plan --run first" in trial[1]
    assert length[1] == "No domain has rows of different lengths and scores."
    json.dumps(evidence_of(store, "first").to_fields(), allow_nan=False)


def test_a_cross_fitted_run_without_own_losses_says_how_to_get_them(store: Store) -> None:
    add_judged_run(store, [JudgedRow("chat", 10.0, (5.0,)), JudgedRow("chat", 10.0, (6.0,))])
    standing, answer = answers(store, "cross")["Is it memory?"]
    assert standing is Standing.FINE
    assert answer.startswith("No: each row was judged by models that never saw it. To see how much memory that avoids:")
    assert answer.endswith("score --own")


def test_an_in_sample_run_of_only_trained_rows_is_cautioned_about(store: Store) -> None:
    table = add_scored_run(store, [ScoredRow("chat", 10.0, 5.0), ScoredRow("chat", 10.0, 4.0)])
    ids = [example_id for (example_id,) in store.rows(f"SELECT example_id::VARCHAR FROM {table}")]
    store.record_training("reference model", ids)
    sets = store.run("first")["loss_sets"]
    store.save_run("again", "data", sets, {})
    standing, answer = answers(store, "again")["Is it memory?"]
    assert standing is Standing.CAUTION
    assert answer.startswith("Partly, but how much is not known. The reference was trained on all of these rows.")


def test_a_reference_that_was_trained_on_other_rows_holds_no_memory_of_these(store: Store) -> None:
    add_scored_run(store, [ScoredRow("chat", 10.0, 5.0)])
    store.record_training("reference model", ["00000000-0000-0000-0000-000000000001"])
    assert answers(store, "first")["Is it memory?"] == (
        Standing.FINE,
        "No: the reference was trained on none of these rows.",
    )


@pytest.mark.parametrize(
    ("slope", "standing", "words"),
    [(-1, Standing.CAUTION, "more short rows"), (1, Standing.CAUTION, "more long rows"), (0, Standing.FINE, "Hardly")],
)
def test_the_length_verdict_says_which_rows_the_top_has_more_of(
    store: Store, slope: int, standing: Standing, words: str
) -> None:
    gains = [5.0 + slope * n if slope else 5.0 + (n * 7) % 10 for n in range(-4, 5)]
    rows = [ScoredRow("chat", 100.0, 100.0 - gain, tokens=10 + n) for n, gain in enumerate(gains)]
    table = add_scored_run(store, rows)
    found = length_verdict(length_bias(store, table, EVERYTHING), end_of_turn(store, table))
    assert found.standing is standing
    assert words in found.answer


def test_two_runs_that_disagree_are_cautioned_about(store: Store) -> None:
    rows = [TwiceScored("chat", 100.0, float(n), 99.0 - n, f"row {n}") for n in range(200)]
    import_rows(store, rows)
    for reference in ("one", "two"):
        score_rows(store, rows, reference, reference)
    standing, answer = answers(store, "one")["Is it stable?"]
    assert standing is Standing.CAUTION
    assert answer == (
        "At 6 % the references of two runs agree on 0% of these rows; chance is 6%. Spearman within domains: -1.00."
    )


def test_a_run_that_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="No run is named 'none'"):
        evidence_of(store, "none")
