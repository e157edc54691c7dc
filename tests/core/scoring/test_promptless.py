"""Responses without their prompts: the same tokens as with them, and IFD as Cherry_LLM computes it."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from core.data.errors import ModelUnusable, SelectionInvalid
from core.data.examples import Example
from core.encoding.encode import encode_examples
from core.encoding.encoding_spec import CUT
from core.models.folds_file import read_folds
from core.selection import Selection, select_summary
from core.store import Store
from core.training.training_plan import TrainRequest
from core.workspace.promptless import score_without_prompts
from core.workspace.running import train_reference
from tests.core.scored_models import score_examples
from tests.cross_fitted import DATASET, NAME
from tests.fakes import ScoredRecord, build_scored_store
from tests.inline_executor import run_jobs_inline
from tests.tiny_models import encoding_spec, example, make_tokenizer
from tests.trial_workspace import wait_quietly

TALKS = [
    example(("user", "Name a river."), ("assistant", "The river is the Thames.")),
    example(("user", "How many apples?"), ("assistant", "12")),
    example(("user", "Say it."), ("assistant", "def add"), ("user", "And?"), ("assistant", "return first + second")),
]


@pytest.mark.parametrize("adds_bos", [True, False])
@pytest.mark.parametrize("template", ["alpaca", "chat", "chatml", "plain"])
def test_the_response_alone_has_the_tokens_that_it_has_behind_its_prompt(template: str, adds_bos: bool) -> None:
    tokenizer, spec = make_tokenizer(adds_bos=adds_bos), encoding_spec(template)
    given, alone = (encode_examples(TALKS, tokenizer, each) for each in (spec, replace(spec, prompt=CUT)))
    for one, other in zip(given, alone, strict=True):
        assert other.input_ids[1:].tolist() == one.input_ids[one.scored].tolist()
        assert other.input_ids[0] == tokenizer.bos_token_id
        assert other.scored.tolist() == [False, *[True] * one.token_count]
        assert other.is_end[other.scored].tolist() == one.is_end[one.scored].tolist()


def test_a_truncated_response_is_truncated_alike_without_its_prompt() -> None:
    tokenizer, spec = make_tokenizer(), encoding_spec("alpaca", 60)
    talk = example(("user", "Name a river."), ("assistant", "The river is the Thames. " * 20))
    (given,), (alone,) = (encode_examples([talk], tokenizer, each) for each in (spec, replace(spec, prompt=CUT)))
    assert given.truncated
    assert alone.truncated
    assert alone.token_count == given.token_count > 0


def mean_loss(model: torch.nn.Module, ids: Sequence[int], scored: Sequence[bool]) -> float:
    """The mean loss of the scored tokens, by transformers."""
    labels = [token if counts else -100 for token, counts in zip(ids, scored, strict=True)]
    with torch.no_grad():
        return float(model(input_ids=torch.tensor([list(ids)]), labels=torch.tensor([labels])).loss)


def test_ifd_is_cherry_llms_ratio_and_superfilterings(
    tiny_base: Path, tiny_reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_jobs_inline(monkeypatch)
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    tokenizer = make_tokenizer()
    with Store.open(tmp_path / "workspace", "a test") as store:
        score_examples(store, TALKS, tiny_base, tiny_reference)
        report = score_without_prompts(store, "tiny", wait_quietly, device="cpu")
        assert (report["computed"], report["rows"]) == (3, 3)
        assert score_without_prompts(store, "tiny", wait_quietly, device="cpu")["computed"] == 0
        found = store.rows(
            f"SELECT ifd, ifd_perplexity, base_loss FROM {store.run('tiny')['table']} ORDER BY row_number"
        )
    for (ifd, superfiltering, base_loss), talk in zip(found, TALKS, strict=True):
        (given,) = encode_examples([talk], tokenizer, encoding_spec("chat"))
        conditional = mean_loss(model, given.input_ids.tolist(), given.scored.tolist())
        response = given.input_ids[given.scored].tolist()
        direct = mean_loss(model, [tokenizer.bos_token_id, *response], [False, *[True] * len(response)])
        assert base_loss == pytest.approx(conditional, rel=1e-4)
        assert ifd == pytest.approx(conditional / direct, rel=1e-4)  # mean_rate of data_by_IFD.py
        assert superfiltering == pytest.approx(math.exp(conditional) / math.exp(direct), rel=1e-4)


def test_pvi_like_is_of_the_models_that_did_not_see_the_row(
    cross_fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_jobs_inline(monkeypatch)
    shutil.copytree(cross_fitted / "workspace", tmp_path / "workspace")
    with Store.open(tmp_path / "workspace", "a test") as store:
        report = score_without_prompts(store, NAME, wait_quietly, reference=True, device="cpu")
        assert (report["computed"], report["rows"]) == (24, 20)  # four held-out rows are judged by both models
        run = store.run(NAME)
        bits = store.rows(f"SELECT pvi_like, reference_nll_sum FROM {run['table']} ORDER BY row_number")
        alone = store.rows(
            """
            SELECT avg(nll_sum) FROM loss JOIN loss_set s USING (loss_set_id) JOIN dataset_row r USING (example_id)
            WHERE encoding_fingerprint <> ? AND s.model_label NOT LIKE 'cross-fitted%'
            AND NOT EXISTS (SELECT 1 FROM trained_example t WHERE t.model_fingerprint = s.model_fingerprint
                AND t.example_id = r.example_id)
            GROUP BY row_number ORDER BY row_number
            """,
            [run["description"]["encoding_fingerprint"]],
        )
    expected = [(nats - reference) / np.log(2) for (nats,), (_, reference) in zip(alone, bits, strict=True)]
    assert [value for value, _ in bits] == pytest.approx(expected)


def test_without_the_pass_the_command_is_named_and_a_run_without_models_is_refused(tmp_path: Path) -> None:
    with build_scored_store(tmp_path / "workspace", [ScoredRecord("chat", 2.0, 1.0)]) as store:
        with pytest.raises(SelectionInvalid, match="promptless --run RUN"):
            select_summary(store, Selection("planets", "ifd"))
        with pytest.raises(ModelUnusable, match="does not say which models it has"):
            score_without_prompts(store, "planets", wait_quietly)


def test_pvi_compares_with_models_trained_without_prompts_that_did_not_see_the_row(
    cross_fitted: Path, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_jobs_inline(monkeypatch)
    shutil.copytree(cross_fitted / "workspace", tmp_path / "workspace")
    request = TrainRequest(
        DATASET, str(tiny_base), "null", "full", 2.0, 0.01, template="alpaca", device="cpu",
        folds_file=str(cross_fitted / "folds.csv"), without_prompts=True,
    )  # fmt: skip
    with Store.open(tmp_path / "workspace", "a test") as store:
        train_reference(store, request, wait_quietly, print)
        report = score_without_prompts(store, NAME, wait_quietly, device="cpu", null_reference="null")
        assert (report["role"], report["computed"], report["rows"]) == ("null_reference", 24, 20)
        assert score_without_prompts(store, NAME, wait_quietly, null_reference="null", device="cpu")["computed"] == 0
        table = store.run(NAME)["table"]
        bits = store.rows(f"SELECT pvi, reference_nll_sum FROM {table} ORDER BY row_number")
        talks = store.rows(
            "SELECT conversation, row_number FROM dataset_row JOIN example USING (example_id) ORDER BY 2"
        )
        first = next(iter(store.rows(f"SELECT example_id::VARCHAR FROM {table} WHERE row_number = 1")))[0]
        with pytest.raises(ModelUnusable, match="was not trained without prompts on the base"):
            score_without_prompts(store, NAME, wait_quietly, device="cpu", null_reference=NAME)
        with pytest.raises(ModelUnusable, match="'nothing' is not a cross-fitted one of this workspace"):
            score_without_prompts(store, NAME, wait_quietly, device="cpu", null_reference="nothing")
    folds = read_folds(cross_fitted / "folds.csv").set_index("example_id").loc[first]
    judges = [0, 1] if folds["held_out"] else [folds["fold"]]
    tokenizer, spec = make_tokenizer(), replace(encoding_spec("alpaca"), prompt=CUT)
    (alone,) = encode_examples([Example.from_json(talks[0][0])], tokenizer, spec)
    nats = []
    for fold in judges:  # the model of a fold never saw it
        model = AutoModelForCausalLM.from_pretrained(
            tmp_path / "workspace" / "models" / "null" / f"fold-{fold}-seed-0", dtype=torch.float32
        )
        nats.append(mean_loss(model, alone.input_ids.tolist(), alone.scored.tolist()) * alone.token_count)
    assert bits[0][0] == pytest.approx((np.mean(nats) - bits[0][1]) / np.log(2), rel=1e-4)
