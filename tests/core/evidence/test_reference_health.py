"""The health of a reference from what training recorded of it."""

from pathlib import Path

import pytest

from core.data.errors import ModelUnusable
from core.evidence.reference_health import fall_sentences, health_of, health_warnings
from core.evidence.training_records import TrainedModel
from core.models.resolving import ModelSpec
from tests.cross_fitted_rows import write_model


def model(folder: Path, fold: int = 0, seed: int = 0) -> TrainedModel:
    return TrainedModel(fold, seed, ModelSpec("a model", str(folder), None, "hash"), f"{fold} {seed}")


def test_falls_are_said_by_domain_and_averaged_over_models_with_their_range(tmp_path: Path) -> None:
    one = {
        ("held_out", "chat"): [2.0, 1.9],
        ("own", "chat"): [2.0, 1.3],
        ("held_out", "math"): [1.0, 0.4],
        ("own", "math"): [1.0, 0.3],
    }
    two = {**one, ("held_out", "chat"): [2.0, 1.94]}
    folders = [write_model(tmp_path / str(n), losses, steps=30 + n) for n, losses in enumerate((one, two))]
    health = health_of([model(folder) for folder in folders])
    assert health.steps == 30
    assert fall_sentences(health) == [
        "chat: on unseen rows loss fell 4%, on its own rows it fell 35%: most of the score is memory.",
        "math: on unseen rows loss fell 60%, on its own rows it fell 70%: most of the fall carries over to unseen "
        "rows.",
    ]
    assert health_warnings(health) == []
    last = health.by_pass.query("domain == 'chat' and rows == 'held_out' and place == 1").iloc[0]
    assert last[["loss", "lowest", "highest"]].tolist() == pytest.approx([1.92, 1.9, 1.94])
    assert last[["models", "passes"]].tolist() == [2, 1.0]
    overall = health.falls[health.falls["overall"]].iloc[0]
    assert overall["held_out_fall"] == pytest.approx(1 - (1.92 + 0.4) / 3)


def test_a_held_out_loss_that_rises_and_few_steps_are_warned_about(tmp_path: Path) -> None:
    losses = {("held_out", "chat"): [2.0, 1.8, 1.5, 1.7], ("own", "chat"): [2.0, 1.5, 1.0, 0.5]}
    health = health_of([model(write_model(tmp_path / "m", losses, steps=7))])
    assert health.rose_after == 2
    assert health_warnings(health) == [
        "The held-out loss rose after pass 2: fewer passes would be better.",
        "7 steps: too little training to rank by.",
    ]


def test_a_loss_that_only_rises_is_said_so(tmp_path: Path) -> None:
    losses = {("held_out", "chat"): [2.0, 2.2], ("own", "chat"): [2.0, 2.0]}
    health = health_of([model(write_model(tmp_path / "m", losses, steps=50))])
    assert health_warnings(health) == ["The held-out loss rose from the first pass on: fewer passes would be better."]
    assert fall_sentences(health) == [
        "chat: the loss on its own rows did not fall (fell 0%), so nothing was learned here."
    ]


def test_training_that_was_stopped_is_judged_by_the_pass_that_was_kept(tmp_path: Path) -> None:
    losses = {("held_out", "chat"): [2.0, 1.8, 1.5, 1.7], ("own", "chat"): [2.0, 1.5, 1.0, 0.5]}
    health = health_of(
        [model(write_model(tmp_path / "m", losses, steps=30, best_step=20, stopped_early_after_step=30))]
    )
    assert health.rose_after is None
    assert health.by_pass["place"].max() == 2


def test_the_threshold_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_FEWEST_TRAINING_STEPS", "5")
    assert not health_of([model(write_model(tmp_path / "m", steps=7))]).too_few_steps


def test_models_without_records_give_no_health(tmp_path: Path) -> None:
    health = health_of([model(tmp_path / "gone"), model(write_model(tmp_path / "plain"))])
    assert (health.models, health.steps) == (2, None)
    assert health.by_pass.empty
    assert health.falls.empty
    assert fall_sentences(health) == health_warnings(health) == []


def test_a_damaged_record_is_one_sentence(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", {("own", "chat"): [1.0]})
    (folder / "passes.jsonl").write_text('{"step": "x"}\n', encoding="utf-8")
    with pytest.raises(ModelUnusable, match=r"passes\.jsonl cannot be read"):
        health_of([model(folder)])


@pytest.mark.parametrize(
    ("provenance", "warned"),
    [
        ({"epochs": 2.0}, True),
        ({"epochs": 2.0, "order": "new in every epoch"}, False),
        ({"epochs": 1.0}, False),
        ({"epochs": 2.0, "budget": {"unit": "input", "tokens": 1, "steps": 1}}, False),
        ({"epochs": "2"}, False),
    ],
)
def test_a_reference_whose_passes_had_one_order_is_named(
    tmp_path: Path, provenance: dict[str, object], warned: bool
) -> None:
    health = health_of([model(write_model(tmp_path / "m", steps=50, **provenance))])
    assert any("in the same order" in warning for warning in health_warnings(health)) == warned
