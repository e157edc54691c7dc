"""Gradient similarity (LESS): the formula by naive autograd in float64; kept when killed or cancelled; refusals."""

import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from core.data.errors import FoldsUnusable, JobCancelled, JobFailed, ModelUnusable, NameTaken, NoUsableRows, UserError
from core.data.examples import DatasetRow, Example
from core.encoding.encode import encode_examples
from core.encoding.encoding_spec import EncodingSpec
from core.importing import SourceOptions
from core.importing.source_options import DomainRule
from core.jobs.job import all_jobs
from core.models.provenance import PROVENANCE
from core.models.resolving import resolve_model
from core.near_duplicates.jobs import DEFAULT_THRESHOLD
from core.scoring.planning import ScoreRequest
from core.selection import Amount, Selection, kept_rows, save_selection
from core.store import ImportedScore, Store, imported_scores
from core.store.near_duplicates import GROUPS_SCHEMA, save_near_duplicates
from core.training.gradients import gradient_jobs, gradient_work
from core.training.gradients.features import RowGradients
from core.training.training_plan import TrainRequest
from core.workspace.less_scores import LessRequest, score_less
from core.workspace.running import score_dataset, train_reference
from core.workspace.trial_planning import TrialRequest, draft_trial
from tests.core.scored_models import score_examples
from tests.inline_executor import run_jobs_inline
from tests.tiny_models import example, make_tokenizer
from tests.trial_workspace import wait_quietly

CODE = [(f"Add {n} and {n + 1} in Python.", f"def add(): return {n} + {n + 1}") for n in range(8)]
TOWNS = [
    ("What is the capital of Iceland?", "The capital of Iceland is Reykjavik."),
    ("Name a river.", "The river is the Thames."),
]
LONG = ("What is the capital of Iceland? " * 30, "Reykjavik.")
"""Its prompt alone is longer than the maximum length."""
ROWS = [*CODE, *TOWNS, LONG]
TRAINED = {
    "method": "lora", "epochs": 2.0, "learning_rate": 0.01, "max_length": 100, "device": "cpu", "lora_rank": 2,
}  # fmt: skip


def talk(row: tuple[str, str]) -> Example:
    return example(("user", row[0]), ("assistant", row[1]))


def written(path: Path, rows: Sequence[tuple[str, str]], domains: Sequence[str] = ("all",)) -> str:
    lines = [
        {"prompt": prompt, "completion": reply, "kind": domains[number % len(domains)]}
        for number, (prompt, reply) in enumerate(rows)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def unsaid(_: str) -> None:
    """Nothing is shown."""


def trained(store: Store, base: Path, name: str, **fields: Any) -> Path:
    request = TrainRequest("talk", str(base), name, **{**TRAINED, **fields})
    return Path(train_reference(store, request, wait_quietly, unsaid)["path"])


@pytest.fixture(scope="module")
def made(made_once: Callable[[str, Callable[[Path], object]], Path], tiny_base: Path, tiny_reference: Path) -> Path:
    """The run "tiny", and the references "warm", with two kept checkpoints of one step each, and "plain", without."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch, Store.open(folder, "a test") as store:
            run_jobs_inline(patch)
            score_examples(store, [talk(row) for row in ROWS], tiny_base, tiny_reference, max_length=100)
            trained(store, tiny_base, "warm", keep_checkpoints=True)
            trained(store, tiny_base, "plain")

    return made_once("less", make)


def less(
    store: Store, target: str, domain_field: str | None = None, say: Callable[[str], None] = unsaid, **fields: Any
) -> tuple[ImportedScore, dict[str, Any]]:
    options = SourceOptions(domain=DomainRule(field=domain_field))
    request = LessRequest("tiny", target, options=options, device="cpu", **{"reference": "warm", **fields})
    return score_less(store, request, wait_quietly, say)


def naive(
    base: Path, reference: Path, spec: EncodingSpec, subtasks: Sequence[Sequence[Example]]
) -> NDArray[np.float64]:
    """The formula, row by row and target row by target row, in float64."""
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float64)
    config = LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(plain, config).double().eval()
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}

    def gradient(talked: Example) -> torch.Tensor:
        (row,) = encode_examples([talked], make_tokenizer(), spec)
        ids, scored = torch.tensor([row.input_ids.tolist()]), torch.from_numpy(row.scored[1:])
        losses = -torch.log_softmax(model(input_ids=ids).logits[0, :-1], -1).gather(1, ids[0, 1:, None])[:, 0]
        return torch.cat([part.flatten() for part in torch.autograd.grad(losses[scored].mean(), [*weights.values()])])

    kept = json.loads((reference / PROVENANCE).read_text())["kept_checkpoints"]
    sums = np.zeros((len(ROWS) - 1, len(subtasks)))
    for checkpoint in kept:
        tensors = {name: tensor.double() for name, tensor in load_file(reference / checkpoint["file"]).items()}
        m, v = (
            torch.cat([tensors[f"{part}/{name}"].flatten() for name in weights]) for part in ("exp_avg", "exp_avg_sq")
        )
        for name, weight in weights.items():
            weight.data = tensors[f"weight/{name}"]
        features = []
        for row in ROWS[:-1]:
            g = gradient(talk(row))
            step = (0.9 * m + 0.1 * g) / torch.sqrt(0.999 * v + 0.001 * g * g + 1e-8)
            features.append(step / step.norm())
        share = checkpoint["learning_rate"] / sum(each["learning_rate"] for each in kept)
        for number, rows in enumerate(subtasks):
            aims = [gradient(each) for each in rows]
            for place, feature in enumerate(features):
                sums[place, number] += share * np.mean([float(aim @ feature / aim.norm()) for aim in aims])
    return sums.max(axis=1)


def values_of(store: Store, name: str) -> list[float | None]:
    return [value for (value,) in store.rows(f"SELECT {name} FROM scored_1 ORDER BY row_number")]


def test_the_score_is_the_formula_by_naive_autograd_in_float64(
    store: Store, tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [TOWNS[0], CODE[3], ("Name a town.", "Reykjavik."), CODE[5], ("And a river?", "The Rhine.")]
    target = written(tmp_path / "Mixed.jsonl", rows, ("towns", "code"))
    spec = EncodingSpec(**store.run("tiny")["description"]["encoding"])
    subtasks = [[talk(rows[number]) for number in places] for places in ((0, 2, 4), (1, 3))]
    expected = naive(tiny_base, store.workspace / "models" / "warm", spec, subtasks).tolist()
    assert np.ptp(expected) > 0.01
    said: list[str] = []
    score, fields = less(store, target, "kind", said.append)
    found = values_of(store, score.name)
    assert found[:-1] == pytest.approx(expected, abs=1e-5)
    assert found[-1] is None
    assert (fields["targets"], fields["subtasks"]) == (5, {"code": 2, "towns": 3})
    assert list(fields["reasons"].values()) == [1]
    assert fields["notices"][0].startswith("Rows without a value: ")
    assert said[0].startswith("Passes forward and backward: 2, over 11 rows and 5 target rows: 32 gradients of ")
    assert score.file_column.startswith("LESS gradient similarity to 5 rows in 2 subtasks by warm (checkpoints: 2; ")
    load = gradient_work.trainable_model
    monkeypatch.setattr(gradient_work, "trainable_model", lambda *given: load(*given).double())
    shutil.rmtree(store.workspace / "jobs")  # else its values are used
    exact, _ = less(store, target, "kind", name="exact")
    assert values_of(store, exact.name)[:-1] == pytest.approx(expected, abs=1e-8)


def test_rows_like_the_targets_rank_first_and_the_score_is_kept_selects_and_makes_a_trials_arm(
    store: Store, tmp_path: Path
) -> None:
    target = written(tmp_path / "towns.jsonl", TOWNS)
    score, fields = less(store, target)
    assert (score.name, fields["computed"]) == ("imported_less_towns", True)
    again, fields = less(store, target)
    assert (again, fields["computed"]) == (score, False)
    with pytest.raises(NameTaken, match=r"has a score imported_less_towns already, from towns\.jsonl"):
        less(store, written(tmp_path / "towns.jsonl", TOWNS[:1]))
    recipe = Selection("tiny", score.name, scope="pooled", amount=Amount("ratio", 0.2))
    assert sorted(row for row, *_ in store.rows(*kept_rows(store, recipe))) == [9, 10]
    save_selection(store, "by-less", recipe)
    groups = pa.table({"example_id": [], "group_number": []}, GROUPS_SCHEMA)
    save_near_duplicates(store, "talk", DEFAULT_THRESHOLD, len(ROWS), groups)
    request = TrialRequest("small", "tiny", ("by-less",), ("random-by-domain",), 1, 1, budget=50, held_out=0.2)
    arm, *_ = draft_trial(store, request).plan.arms
    assert arm.recipe is not None
    assert arm.recipe.score == score.name


def test_checkpoints_hold_the_adapter_and_adams_moments_and_change_no_fingerprint(
    store: Store, tiny_base: Path
) -> None:
    warm, plain = (store.workspace / "models" / name for name in ("warm", "plain"))
    kept = json.loads((warm / PROVENANCE).read_text())["kept_checkpoints"]
    assert [(one["file"], one["step"], one["passes"]) for one in kept] == [
        ("kept_checkpoints/epoch-1.safetensors", 1, 1.0), ("kept_checkpoints/epoch-2.safetensors", 2, 2.0),
    ]  # fmt: skip
    cosine = [0.01 * (1 + math.cos(math.pi * step / 2)) / 2 for step in (0, 1)]
    assert [one["learning_rate"] for one in kept] == pytest.approx(cosine)
    first, last = (load_file(warm / one["file"]) for one in kept)
    adapter = load_file(warm / "adapter_model.safetensors")
    names = [name.removeprefix("weight/") for name in last if name.startswith("weight/")]
    assert len(names) == len(adapter) == len(last) // 3
    for name in names:
        assert torch.equal(last[f"weight/{name}"], adapter[name.replace(".default", "")])
        # After one step, m = 0.1 g and v = 0.001 g^2.
        m, v = first[f"exp_avg/{name}"], first[f"exp_avg_sq/{name}"]
        assert torch.allclose(m**2, 10 * v, rtol=1e-4, atol=1e-12)
    assert max(float(first[f"exp_avg/{name}"].abs().max()) for name in names) > 1e-5
    base = resolve_model(str(tiny_base), store.workspace)
    hashes = {resolve_model(name, store.workspace, base).weights_hash for name in ("warm", "plain")}
    assert len(hashes) == 1
    assert not (plain / "kept_checkpoints").exists()


class Killed(BaseException):
    """Ends a worker without a word, as SIGKILL does."""


def counting(monkeypatch: pytest.MonkeyPatch, event: Callable[[], None], after: int) -> list[int]:
    """Calls `event` after so many gradients; the list has one entry a gradient."""
    seen: list[int] = []
    given = RowGradients.of

    def of(self: RowGradients, row: Any) -> torch.Tensor:
        if len(seen) == after:
            event()
        seen.append(1)
        return given(self, row)

    monkeypatch.setattr(RowGradients, "of", of)
    return seen


def test_a_killed_job_goes_on_a_cancelled_ones_rows_are_used_by_the_next_and_new_rows_alone_are_computed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = written(tmp_path / "towns.jsonl", TOWNS)
    expected = values_of(store, less(store, target, name="whole")[0].name)
    shutil.rmtree(store.workspace / "jobs")
    whole = 2 * (len(TOWNS) + 10)
    first_rows = sorted(str(talk(row).example_id) for row in ROWS)[:4]
    first_block = 2 * (len(TOWNS) + 4 - (str(talk(LONG).example_id) in first_rows))

    def killed() -> None:
        raise Killed

    def cancelled() -> None:
        (second,) = (each for each in all_jobs(store.workspace) if each != job)
        (second.folder / "cancel").touch()

    with monkeypatch.context() as patch:
        seen = counting(patch, killed, first_block + 3)
        with pytest.raises(Killed):
            less(store, target)
    (job,) = all_jobs(store.workspace)
    with monkeypatch.context() as patch:
        seen = counting(patch, cancelled, 0)
        with pytest.raises(JobCancelled, match="the same command goes on"):
            less(store, target)
    assert len(seen) == 1
    with monkeypatch.context() as patch:
        seen = counting(patch, lambda: None, 0)
        score, _ = less(store, target)
    assert len(seen) == whole - first_block
    assert values_of(store, score.name) == pytest.approx(expected, nan_ok=True)
    assert len(all_jobs(store.workspace)) == 3
    assert all(each.is_settled for each in all_jobs(store.workspace))
    row = DatasetRow(1, "chat", talk(("And the Rhine?", "It is a river too.")), b"{}")
    store.add_source("talk", "more.jsonl", "jsonl", "another hash", {}, [row])
    with monkeypatch.context() as patch:
        seen = counting(patch, lambda: None, 0)
        assert less(store, target, replace=True)[0].rows == len(ROWS)
    assert len(seen) == 2  # the new row, at two checkpoints


def test_bad_input_is_refused_in_a_sentence_and_no_job_is_left(
    store: Store, tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = written(tmp_path / "t.jsonl", TOWNS)
    before = len(all_jobs(store.workspace))

    def refused(kind: type[UserError], sentence: str, **fields: Any) -> None:
        with pytest.raises(kind, match=sentence):
            less(store, **{"target": target, **fields})

    refused(ModelUnusable, r"'plain' kept no checkpoints.* train --keep-checkpoints, and name it", reference="plain")
    refused(ModelUnusable, "is a full model, and only LoRA references keep checkpoints", reference=None)
    refused(NoUsableRows, r"has no row that can be read", target=written(tmp_path / "e.jsonl", [("What?", "")]))
    monkeypatch.setattr(gradient_jobs, "machine_memory", lambda: 10_000_000)
    many = written(tmp_path / "m.jsonl", [(f"Say {n}.", "So.") for n in range(1000)], [str(n) for n in range(1000)])
    refused(NoUsableRows, r"The target has 1,000 domains, and a mean gradient of", target=many, domain_field="kind")
    monkeypatch.undo()
    run_jobs_inline(monkeypatch)
    monkeypatch.setenv("LOBASS_EXECUTOR", "ray")
    refused(UserError, "on this machine only. Leave out the executor ray")
    run_jobs_inline(monkeypatch)
    warm = store.workspace / "models" / "warm"
    (warm / "kept_checkpoints" / "epoch-1.safetensors").write_bytes(b"short")
    refused(ModelUnusable, "A checkpoint of the reference 'warm' is damaged")
    for fields, kind, sentence in (
        ({"folds": 2}, FoldsUnusable, "one model that is trained on all rows"),
        ({"method": "full"}, ModelUnusable, "Full fine-tuning keeps no checkpoints"),
    ):
        with pytest.raises(kind, match=sentence):
            trained(store, tiny_base, "refused", keep_checkpoints=True, **fields)
    assert len(all_jobs(store.workspace)) == before
    assert imported_scores(store, "talk") == []


def test_a_reference_of_another_encoding_and_a_target_without_a_token_to_learn_are_refused(
    store: Store, tmp_path: Path, tiny_base: Path
) -> None:
    with pytest.raises(JobFailed, match=r"No row of the target has a token to learn from \(.*: 1\)"):
        less(store, written(tmp_path / "long.jsonl", [LONG]))
    score_dataset(
        store, ScoreRequest("talk", str(tiny_base), "warm", "wide", max_length=200, device="cpu"), wait_quietly, unsaid
    )
    with pytest.raises(ModelUnusable, match="was trained with another template, maximum length or choice of replies"):
        score_less(store, LessRequest("wide", written(tmp_path / "t.jsonl", TOWNS)), wait_quietly, unsaid)


def test_a_cross_fitted_reference_is_refused(store: Store, tmp_path: Path) -> None:
    folder = store.workspace / "models" / "folds"
    folder.mkdir()
    (folder / PROVENANCE).write_text(json.dumps({"cross_fitted": {"models": []}}))
    description = store.run("tiny")["description"]
    models = {"base": description["models"]["base"], "fold-0-seed-0": description["models"]["reference"]}
    sets = store.rows("SELECT role, loss_set_id FROM run_loss")
    store.save_run("folded", "talk", dict(sets), {**description, "models": models, "cross_fitted": {"name": "folds"}})
    for run, reference in (("folded", None), ("tiny", "folds")):
        request = LessRequest(run, written(tmp_path / "t.jsonl", TOWNS), reference=reference)
        with pytest.raises(ModelUnusable, match="is cross-fitted: none of its models saw all rows"):
            score_less(store, request, wait_quietly, unsaid)
