"""Evidence on data whose answer is known: random labels are memory, a rule that the base lacks is learned, and a prompt
tells nothing of a random answer and all bits of one that it decides.

The base is a tiny model that was trained to answer an Item with one of eight capital letters and a Turn with one of
eight small ones, each as likely as another.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from core.data.examples import DatasetRow
from core.jobs.job import Job
from core.scoring.planning import ScoreRequest
from core.selection import Amount, Selection, save_selection
from core.store import Store
from core.training.training_plan import TrainRequest
from core.workspace.promptless import score_without_prompts
from core.workspace.running import score_dataset, train_reference, wait_for_first
from core.workspace.trials import TrialRequest, plan_trial, run_trial
from tests.inline_executor import run_jobs_inline
from tests.tiny_models import example, save_model_folder

LETTERS = "ABCDEFGH"
TRAINING = {"method": "full", "learning_rate": 3e-3, "device": "cpu", "template": "plain"}


def answers(count: int, seed: int, turns: float = 0.0, rule: bool = False) -> list[DatasetRow]:
    """Rows that ask for an Item, or in a share of them for a Turn; the answer is a random letter of their own kind.
    With the rule, a Turn is always answered by the same letter."""
    draw, rows = random.Random(seed), []
    for row_number in range(1, count + 1):
        is_turn = draw.random() < turns
        answer = draw.choice(LETTERS.lower() if is_turn else LETTERS)
        asked = example(
            ("user", f"{'Turn' if is_turn else 'Item'} {draw.randrange(10**6):06d}"),
            ("assistant", "c" if is_turn and rule else answer),
        )
        rows.append(DatasetRow(row_number, "rule" if is_turn else "random", asked, b"{}"))
    return rows


def wait(store: Store, *jobs: Job) -> dict[str, object]:
    return wait_for_first(store, jobs, lambda _: None, lambda _: None)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    run_jobs_inline(monkeypatch)
    with Store.open(tmp_path / "workspace", "a test") as opened:
        yield opened


@pytest.fixture
def base(made_once: Callable[[str, Callable[[Path], object]], Path], store: Store) -> str:
    """Folder of the base that knows the letters and no rule."""

    def make(folder: Path) -> None:
        save_model_folder(folder / "untrained", "llama")
        rows = answers(800, seed=1, turns=0.5)
        with Store.open(folder / "workspace", "a test") as teaching:
            teaching.add_source("letters", "letters", "jsonl", "letters", {}, rows)
            request = TrainRequest(
                "letters", str(folder / "untrained"), "base", epochs=8, batch_tokens=1024, **TRAINING
            )
            train_reference(teaching, request, wait, lambda _: None)

    return str(made_once("letters-base", make) / "workspace" / "models" / "base")


def score(store: Store, base: str, rows: list[DatasetRow], epochs: float) -> pd.DataFrame:
    """The scored rows of a cross-fitted run named "run" on the dataset "data"."""
    store.add_source("data", "data", "jsonl", "data", {}, rows)
    request = TrainRequest("data", base, "crossed", epochs=epochs, batch_tokens=512, folds=2, held_out=0.2, **TRAINING)
    train_reference(store, request, wait, lambda _: None)
    scoring = ScoreRequest("data", base, "crossed", run="run", device="cpu", template="plain", own=True)
    score_dataset(store, scoring, wait, lambda _: None)
    return store.frame(f"SELECT * FROM {store.run('run')['table']} ORDER BY row_number")


def test_random_labels_are_memory_and_nothing_else(store: Store, base: str) -> None:
    found = score(store, base, answers(160, seed=3), epochs=6)
    own, unseen = found["own_learnability"].astype(float), found["learnability"].astype(float)
    assert abs(unseen.median()) < 0.06, "nothing can be learned of random labels"
    assert own.median() > 0.08
    assert found["memory_gap"].astype(float).median() > 0.08


def test_a_rule_leads_among_unseen_rows_and_training_on_it_beats_random(store: Store, base: str) -> None:
    found = score(store, base, answers(200, seed=4, turns=0.5, rule=True), epochs=3)
    by_domain = found.groupby("domain")["learnability"].median().astype(float)
    assert by_domain["rule"] > by_domain["random"] + 0.3
    top = found.nlargest(50, "learnability")
    assert (top["domain"] == "rule").mean() > 0.9
    recipe = Selection("run", scope="pooled", amount=Amount("ratio", 0.25))
    save_selection(store, "top", recipe)
    request = TrialRequest(
        "rule", "run", ("top",), ("random",), draws=4, seeds=4, budget=500, batch_tokens=100, method="full",
        learning_rate=3e-3, device="cpu",
    )  # fmt: skip
    plan_trial(store, request, wait)
    results = run_trial(store, "rule", wait, lambda _: None).results()
    assert results.missing_cells == ()
    (arm,) = results.arms
    assert arm.difference is not None
    assert arm.difference.high < 0, arm.sentence
    assert arm.verdict == "better than random"


def test_a_prompt_tells_no_bit_of_a_random_answer_and_the_bit_of_one_that_it_decides(store: Store, base: str) -> None:
    draw, rows = random.Random(5), []
    for row_number in range(1, 161):
        asked = draw.choice(["Word", "Word", "Item", "Turn"])
        answer = {"Item": "C", "Turn": "c"}.get(asked) or draw.choice("Cc")
        talk = example(("user", f"{asked} {draw.randrange(10**6):06d}"), ("assistant", answer))
        rows.append(DatasetRow(row_number, "random" if asked == "Word" else "decided", talk, b"{}"))
    score(store, base, rows, epochs=5)
    null = TrainRequest(
        "data", base, "null", epochs=5, batch_tokens=128, folds=2, held_out=0.2, without_prompts=True, **TRAINING
    )
    train_reference(store, null, wait, lambda _: None)
    score_without_prompts(store, "run", wait, device="cpu", null_reference="null")
    found = store.frame(f"SELECT domain, pvi FROM {store.run('run')['table']}").groupby("domain")["pvi"].mean()
    assert found["random"] == pytest.approx(0.0, abs=0.25)
    assert found["decided"] == pytest.approx(1.0, abs=0.25)  # the entropy of its answers [bits]
