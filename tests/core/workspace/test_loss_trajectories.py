"""Loss trajectories (S2L): transformers' own losses at each checkpoint; kept when killed or cancelled; refusals."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from core.cli.commands import app
from core.data.errors import JobCancelled, ModelUnusable, NameTaken, SelectionInvalid, UserError
from core.data.examples import Example
from core.encoding.encode import encode_examples
from core.encoding.encoding_spec import EncodingSpec
from core.jobs.job import all_jobs
from core.models.provenance import PROVENANCE
from core.models.resolving import resolve_model
from core.scoring import process
from core.selection import Amount, Selection, kept_rows
from core.store import ImportedScore, Store, imported_scores
from core.training.training_plan import TrainRequest
from core.workspace.running import train_reference
from core.workspace.s2l_scores import S2lRequest, score_s2l
from tests.core.scored_models import score_examples
from tests.inline_executor import run_jobs_inline
from tests.tiny_models import example, make_tokenizer
from tests.trial_workspace import wait_quietly

ROWS = [
    *((f"Add {n} and {n + 1} in Python.", f"def add(): return {n} + {n + 1}") for n in range(8)),
    ("What is the capital of Iceland?", "The capital of Iceland is Reykjavik."),
    ("Name a river.", "The river is the Thames."),
    ("What is the capital of Iceland? " * 30, "Reykjavik."),  # its prompt alone is longer than the maximum length
]


def talk(row: tuple[str, str]) -> Example:
    return example(("user", row[0]), ("assistant", row[1]))


def unsaid(_: str) -> None:
    """Nothing is shown."""


@pytest.fixture(scope="module")
def made(made_once: Callable[[str, Callable[[Path], object]], Path], tiny_base: Path, tiny_reference: Path) -> Path:
    """The run "tiny", and the reference "warm", with three kept checkpoints."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch, Store.open(folder, "a test") as store:
            run_jobs_inline(patch)
            score_examples(store, [talk(row) for row in ROWS], tiny_base, tiny_reference, max_length=100)
            request = TrainRequest(
                "talk", str(tiny_base), "warm", method="lora", epochs=3.0, learning_rate=0.01, max_length=100,
                device="cpu", lora_rank=2, keep_checkpoints=True,
            )  # fmt: skip
            train_reference(store, request, wait_quietly, unsaid)

    return made_once("s2l", make)


def s2l(store: Store, say: Callable[[str], None] = unsaid, **fields: Any) -> tuple[ImportedScore, dict[str, Any]]:
    request = S2lRequest("tiny", **{"reference": "warm", "clusters": 3, "device": "cpu", **fields})
    return score_s2l(store, request, wait_quietly, say)


def values_of(store: Store, name: str) -> list[float | None]:
    return [value for (value,) in store.rows(f"SELECT {name} FROM scored_1 ORDER BY row_number")]


def own_losses(base: Path, reference: Path, spec: EncodingSpec) -> NDArray[np.float64]:
    """The loss of transformers' model [rows x checkpoints], for each row that has one alone."""
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(plain, config).eval()
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    rows = encode_examples([talk(row) for row in ROWS[:-1]], make_tokenizer(), spec)
    columns = []
    for kept in json.loads((reference / PROVENANCE).read_text())["kept_checkpoints"]:
        tensors = load_file(reference / kept["file"])
        for name, weight in weights.items():
            weight.data = tensors[f"weight/{name}"]
        column = []
        for row in rows:
            ids = torch.tensor([row.input_ids.tolist()])
            labels = torch.where(torch.from_numpy(row.scored.copy())[None], ids, -100)
            with torch.no_grad():
                column.append(float(model(input_ids=ids, labels=labels).loss))
        columns.append(column)
    return np.array(columns).T


def test_trajectories_are_transformers_own_losses_at_each_checkpoint_and_their_order_is_a_score(
    store: Store, tiny_base: Path
) -> None:
    said: list[str] = []
    score, fields = s2l(store, said.append)
    assert (score.name, score.rows, score.rows_without) == ("imported_s2l_warm", 10, 1)
    assert said[0].startswith("Forward passes: 3 of 3 checkpoints, 33 losses to compute. At a third of the time ")
    assert (fields["checkpoints"], fields["computed"], list(fields["reasons"].values())) == (3, 33, [1])
    assert fields["notices"][0].startswith("Rows without a value: ")
    values = values_of(store, score.name)
    assert values[-1] is None
    assert sorted(value for value in values if value is not None) == pytest.approx([n / 9 for n in range(10)])
    spec = EncodingSpec(**store.run("tiny")["description"]["encoding"])
    expected = own_losses(tiny_base, store.workspace / "models" / "warm", spec)
    assert np.ptp(expected, axis=1).min() > 0.01
    losses = store.rows(
        """
        SELECT row_number, nll_sum / token_count FROM dataset_row JOIN loss USING (example_id)
        JOIN loss_set USING (loss_set_id) WHERE model_label LIKE 'warm after epoch %' AND nll_sum IS NOT NULL
        ORDER BY model_label, row_number
        """
    )
    found = np.array([loss for _, loss in losses]).reshape(3, 10).T
    assert found == pytest.approx(expected, abs=1e-5)
    # The last checkpoint is the reference itself, so a run scored with it has these losses already.
    base = resolve_model(str(tiny_base), store.workspace)
    keys = {row[0] for row in store.rows("SELECT model_fingerprint FROM loss_set")}
    assert resolve_model("warm", store.workspace, base).fingerprint("float32") in keys


def test_other_clusters_or_seeds_take_the_same_losses_and_the_score_selects(store: Store) -> None:
    score, _ = s2l(store)
    assert score.file == "loss trajectories of warm"
    assert score.file_column == "S2L order by 3 clusters (checkpoints: 3; seed 0; 11 unique rows); high: taken early"
    again, fields = s2l(store)
    assert (again, fields["computed"]) == (score, 0)
    with pytest.raises(NameTaken, match=r"has a score imported_s2l_warm already, from loss trajectories of warm"):
        s2l(store, seed=1)
    jobs = len(all_jobs(store.workspace))
    other, fields = s2l(store, seed=1, name="Other seed")
    assert (other.name, fields["computed"], len(all_jobs(store.workspace))) == ("imported_s2l_other_seed", 0, jobs)
    assert values_of(store, other.name) != values_of(store, score.name)
    assert s2l(store, clusters=2, replace=True)[0].file_column.startswith("S2L order by 2 clusters")
    recipe = Selection("tiny", other.name, scope="pooled", amount=Amount("rows", 2))
    best = {number for number, value in enumerate(values_of(store, other.name), 1) if value and value > 0.85}
    assert {row for row, *_ in store.rows(*kept_rows(store, recipe))} == best
    with pytest.raises(SelectionInvalid, match=r"11 clusters were requested of 10 rows with a loss\. Give at most"):
        s2l(store, clusters=11, name="many")


class Killed(BaseException):
    """Ends a worker without a word, as SIGKILL does."""


def test_a_killed_job_and_a_cancelled_one_go_on_with_what_is_missing_and_give_the_same(
    store: Store, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made, tmp_path / "whole")
    with Store.open(tmp_path / "whole", "a test") as undisturbed:
        expected = values_of(undisturbed, s2l(undisturbed)[0].name)
    load, loaded = process.load_model, list[str]()

    def killed() -> None:
        raise Killed

    def cancelled() -> None:
        (all_jobs(store.workspace)[-1].folder / "cancel").touch()

    def at_load(number: int, event: Callable[[], None]) -> None:
        """`event` happens as the model of that number is loaded."""
        loaded.clear()

        def loading(spec: Any, *rest: Any) -> torch.nn.Module:
            loaded.append(spec.label)
            if len(loaded) == number:
                event()
            return load(spec, *rest)

        monkeypatch.setattr(process, "load_model", loading)

    at_load(2, killed)
    with pytest.raises(Killed):
        s2l(store)
    at_load(2, cancelled)
    with pytest.raises(JobCancelled, match=r"^Cancelled at [1-9] of 11 rows of the epoch-3 model\.") as stopped:
        s2l(store)
    left = 11 - int(str(stopped.value).split()[2])
    assert loaded == ["warm after epoch 2", "warm after epoch 3"]
    at_load(0, killed)
    said: list[str] = []
    score, fields = s2l(store, said.append)
    assert loaded == ["warm after epoch 3"]
    assert fields["computed"] == left
    assert said[0].startswith(f"Forward passes: 1 of 3 checkpoints, {left} losses to compute.")
    assert values_of(store, score.name) == expected


def test_bad_input_is_refused_in_a_sentence_and_no_job_is_left(store: Store) -> None:
    before = len(all_jobs(store.workspace))

    def refused(kind: type[UserError], sentence: str, **fields: Any) -> None:
        with pytest.raises(kind, match=sentence):
            s2l(store, **fields)

    folds = store.workspace / "models" / "folds"
    folds.mkdir()
    (folds / PROVENANCE).write_text(json.dumps({"cross_fitted": {"models": []}}))
    refused(ModelUnusable, "is cross-fitted: none of its models saw all rows", reference="folds")
    refused(ModelUnusable, "is a full model, and only LoRA references keep checkpoints", reference=None)
    refused(SelectionInvalid, r"100 clusters were requested of 11 unique rows\. Give at most as many", clusters=100)
    refused(SelectionInvalid, r"1 clusters were requested\. Give 2 to 1,000", clusters=1)
    warm = store.workspace / "models" / "warm"
    (warm / "kept_checkpoints" / "epoch-1.safetensors").write_bytes(b"short")
    refused(ModelUnusable, "A checkpoint of the reference 'warm' is damaged")
    provenance = json.loads((warm / PROVENANCE).read_text())
    for count, sentence in ((1, "kept one checkpoint, and a trajectory needs two"), (0, "kept no checkpoints")):
        fields = {**provenance, "kept_checkpoints": provenance["kept_checkpoints"][1:][:count]}
        (warm / PROVENANCE).write_text(json.dumps(fields))
        refused(ModelUnusable, rf"'warm' {sentence}\. Train one with train --keep-checkpoints")
    assert len(all_jobs(store.workspace)) == before
    assert imported_scores(store, "talk") == []


def test_the_command_gives_the_score_and_puts_right_a_checkpoints_model_that_is_not_the_checkpoint(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_jobs_inline(monkeypatch)
    workspace = tmp_path / "workspace"
    shutil.copytree(made, workspace)
    model = workspace / "models" / "warm" / "kept_checkpoints" / "epoch-1" / "adapter_model.safetensors"
    model.parent.mkdir()
    model.write_bytes(b"another model")
    command = "scores s2l --run tiny --reference warm --clusters 3 --json --workspace"
    done = CliRunner().invoke(app, [*command.split(), str(workspace)])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["score"]["name"], found["score"]["rows"], found["computed"]) == ("imported_s2l_warm", 10, 33)
    adapter = load_file(workspace / "models" / "warm" / "adapter_model.safetensors")
    assert load_file(model).keys() == adapter.keys()
