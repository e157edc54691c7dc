"""All orders of the options are scored under both models: one that was trained on an order differs from its base."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.data.errors import NoUsableRows
from core.data.examples import DatasetRow
from core.store import Store
from core.workspace.leakage import option_order_leakage
from tests.inline_executor import run_jobs_inline
from tests.tiny_models import example, make_tokenizer
from tests.trial_workspace import wait_quietly

WORDS = ["river", "apple", "stone", "count", "name", "Thames"]
QUESTIONS = [
    f"Which is number {n}?\nA. {WORDS[n]}\nB. {WORDS[(n + 3) % 6]} {n}\nC. {WORDS[(n + 1) % 6]} of it" for n in range(6)
]


def add(store: Store, prompts: list[str], answer: str = "A") -> None:
    rows = [
        DatasetRow(n, "d", example(("user", prompt), ("assistant", answer)), b"{}") for n, prompt in enumerate(prompts)
    ]
    store.add_source("quiz", "quiz", "jsonl", answer, {}, rows)


def leaked(base: Path, folder: Path) -> Path:
    """The base, trained on the questions as they were published until it knows them."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokenizer = make_tokenizer()
    batches = [torch.tensor([tokenizer(question)["input_ids"]]) for question in QUESTIONS]
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(25):
        for ids in batches:
            model(input_ids=ids, labels=ids).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_model_trained_on_the_published_order_prefers_it_and_the_base_itself_does_not_differ(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_jobs_inline(monkeypatch)
    reference = leaked(tiny_base, tmp_path / "leaked")
    with Store.open(tmp_path / "workspace", "a test") as store:
        add(store, [*QUESTIONS, "Write a poem.", "Which?\nA. 1\nB. 2"])
        found = option_order_leakage(store, "quiz", str(tiny_base), str(reference), wait_quietly, device="cpu")
        assert (found.texts, found.computed) == (36, 72)
        assert found.left_out == {"not multiple choice": 1, "its options have a natural order": 1}
        assert found.found.reference.preferred == 6
        assert found.found.base.preferred < 6
        assert found.found.chance == pytest.approx(1 / 6)
        again = option_order_leakage(store, "quiz", str(tiny_base), str(tiny_base), wait_quietly, device="cpu")
        assert (again.computed, again.found.difference) == (0, 0.0)
        assert again.found.low < 0 < again.found.high


def test_a_dataset_without_questions_is_one_sentence_and_adds_nothing(tmp_path: Path) -> None:
    with Store.open(tmp_path / "workspace", "a test") as store:
        add(store, ["Write a poem."])
        with pytest.raises(NoUsableRows, match=r"No row of 'quiz' .*not multiple choice: 1.* Its options must stand"):
            option_order_leakage(store, "quiz", "nowhere", "nowhere", wait_quietly)
        assert store.rows("SELECT name FROM dataset") == [("quiz",)]
