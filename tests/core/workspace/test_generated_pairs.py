"""Pairs from demonstrations: responses are transformers' own, whatever the batch; kept when killed; counted; scored."""

import json
import os
import signal
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from core.cli.commands import app
from core.data.errors import JobCancelled, JobFailed, ModelUnusable, NameTaken, NoUsableRows, SettingInvalid, UserError
from core.data.examples import DatasetRow, Example
from core.exporting.manifest import sources_of
from core.importing import SourceOptions
from core.jobs.job import all_jobs, start_worker
from core.jobs.queue import join_or_start
from core.scoring.generation.generate_work import batches_by_length
from core.scoring.generation.response_generator import ResponseGenerator, SeededChoice, row_numbers
from core.scoring.generation.response_jobs import (
    RESPONSES,
    RESPONSES_FOLDER,
    GenerateRequest,
    Sampling,
    create_generation_job,
    plan_generation,
    read_responses,
    responses_digest,
    sampled_ids,
)
from core.scoring.generation.response_text import ResponseText
from core.scoring.planning import ScoreRequest
from core.store import Store
from core.workspace import workspace
from core.workspace.generated_pairs import origin_sentences
from core.workspace.generating import generate_pairs
from core.workspace.import_batch import HubChoice, import_batch
from core.workspace.running import score_dataset
from tests.inline_executor import run_default_jobs_inline
from tests.tiny_models import TURN_END, TURN_START, TURNS_TEMPLATE, encoding_spec, example, make_model, make_tokenizer
from tests.trial_workspace import wait_quietly
from tests.waiting import wait_for

GREEDY = Sampling(max_new_tokens=12, temperature=0)
PROMPTS = [np.array(ids, np.int32) for ids in ([0, 9, 8], [0, 30, 31, 32, 33, 34, 35], [0, 5], [0, 9, 8, 7, 6])]
NEVER = frozenset({1})
QUESTIONS = [
    "Name a river.",
    "How many apples are there?",
    "What is the capital of Iceland?",
    "Say it.",
    "Add one and two in Python.",
]
LONG = example(("user", "What is the capital of Iceland? " * 30), ("assistant", "Reykjavik."))
"""Its prompt is longer than the maximum length."""


def unchecked() -> None:
    """Nothing is cancelled."""


def unsaid(_: str) -> None:
    """Nothing is shown."""


def greedy(model: Any, prompt: Sequence[int], ends: Sequence[int]) -> list[int]:
    """New tokens of one row by transformers, without padding."""
    ids = torch.tensor([list(prompt)])
    with torch.no_grad():
        found = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, eos_token_id=list(ends)
        )
    return list(found[0, len(prompt) :].tolist())


def drawn(generator: ResponseGenerator, rows: Sequence[int], seed: int) -> list[list[int]]:
    numbers = np.stack([row_numbers(seed, f"row {row}", 12) for row in rows])
    return generator.tokens([PROMPTS[row] for row in rows], numbers, NEVER)


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3", "gpt2", "mamba"])
def test_greedy_responses_of_a_batch_are_those_of_transformers_one_row_at_a_time(family: str) -> None:
    model = make_model(family)
    expected = [greedy(model, prompt.tolist(), [1]) for prompt in PROMPTS]
    generator = ResponseGenerator(model, GREEDY, unchecked)
    found: dict[int, list[int]] = {}
    for batch in batches_by_length({row: len(prompt) for row, prompt in enumerate(PROMPTS)}, 12, 60, generator.pads):
        found |= dict(zip(batch, generator.tokens([PROMPTS[row] for row in batch], None, NEVER), strict=True))
    assert [found[row] for row in range(len(PROMPTS))] == expected


def test_a_model_that_reads_padding_is_found() -> None:
    model = make_model("llama")
    given = model.forward
    assert ResponseGenerator(model, GREEDY, unchecked).pads
    model.forward = lambda *args, attention_mask=None, **more: given(*args, **more)  # type: ignore[method-assign]
    assert not ResponseGenerator(model, GREEDY, unchecked).pads


def test_a_cancelled_job_stops_after_the_current_token() -> None:
    tokens: list[str] = []

    def check() -> None:
        tokens.append("a token")
        if len(tokens) == stop_at:
            raise JobCancelled("Stopped.")

    stop_at = -1
    generator = ResponseGenerator(make_model("llama"), GREEDY, check)
    stop_at = len(tokens) + 5
    with pytest.raises(JobCancelled):
        generator.tokens(PROMPTS, None, NEVER)
    assert len(tokens) == stop_at


def test_batches_hold_prompts_of_like_length_within_the_budget() -> None:
    lengths = {7: 4, 3: 10, 5: 4, 9: 6, 1: 100}
    assert list(batches_by_length(lengths, 10, 32, True)) == [[5, 7], [9], [3], [1]]
    assert list(batches_by_length(lengths, 10, 1000, True)) == [[5, 7, 9, 3, 1]]
    assert list(batches_by_length(lengths, 10, 1000, False)) == [[5, 7], [9], [3], [1]]


def test_a_sampled_response_depends_on_its_row_and_the_seed_alone() -> None:
    generator = ResponseGenerator(make_model("llama"), Sampling(12, 0.8, 0.9), unchecked)
    together = drawn(generator, [0, 1, 2, 3], seed=5)
    assert drawn(generator, [2, 0], seed=5) == [together[2], together[0]]
    assert [drawn(generator, [row], seed=5)[0] for row in range(4)] == together
    assert drawn(generator, [0, 1, 2, 3], seed=6) != together


@pytest.mark.parametrize("task", [None, "CAUSAL_LM", "no adapter"])
def test_a_tiny_top_p_or_temperature_is_greedy_and_the_makers_own_settings_count_for_nothing(task: str | None) -> None:
    base = make_model("llama")
    model: Any = base
    if task != "no adapter":
        lora = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type=task)
        model = get_peft_model(base, lora).eval()
    expected = [greedy(model, prompt.tolist(), [1]) for prompt in PROMPTS]
    for sampling in (Sampling(12, 1.0, 1e-6), Sampling(12, 1e-4)):
        base.generation_config.update(repetition_penalty=5.0, top_k=1, min_new_tokens=3, do_sample=True)
        generator = ResponseGenerator(model, sampling, unchecked)
        assert drawn(generator, range(4), seed=0) == expected
    assert base.generation_config.repetition_penalty != 5.0


def test_tokens_are_drawn_with_their_probabilities() -> None:
    logits = torch.tensor([2.0, -torch.inf, 0.5, 0.0, -3.0])
    numbers = (torch.arange(10_000, dtype=torch.float64)[:, None] + 0.5) / 10_000
    chosen = SeededChoice(numbers, 4)(torch.zeros((10_000, 4)), logits.expand(10_000, 5)).argmax(-1)
    shares = torch.bincount(chosen, minlength=5) / 10_000
    assert shares.tolist() == pytest.approx(torch.softmax(logits, 0).tolist(), abs=2e-4)
    uniform = np.concatenate([row_numbers(0, str(row), 100) for row in range(100)])
    assert np.histogram(uniform, 10, (0, 1))[0] == pytest.approx(1000, abs=120)
    assert row_numbers(0, "a", 5).tolist() == row_numbers(0, "a", 9)[:5].tolist()


SPACED = (
    "{% for m in messages %}{{ 'A: ' if m.role == 'assistant' else 'Q: ' }}{{ m.content }}"
    "{{ eos_token if m.role == 'assistant' else '' }}\n{% endfor %}{% if add_generation_prompt %}A:{% endif %}"
)
"""The model writes the space before a reply."""


@pytest.mark.parametrize(
    ("template", "source", "prompt", "written", "text"),
    [
        ("chat", TURNS_TEMPLATE, f"Hi{TURN_END}\n{TURN_START}assistant\n", f" The Rhine{TURN_END}", " The Rhine"),
        ("chat", SPACED, "Q: Hi\nA:", " The Rhine</s>", "The Rhine"),
        ("chat", SPACED, "Q: Hi\nA: ", " The Rhine</s>", " The Rhine"),
        ("chatml", None, "<|im_start|>assistant\n", "The Rhine<|im_end|>\n<|im_start|>user", "The Rhine"),
        ("alpaca", None, "### Response:\n", "The Rhine</s>", "The Rhine"),
        ("alpaca", None, "### Response:", "\nThe Rhine</s>", "The Rhine"),
    ],
)
def test_what_the_template_writes_around_a_reply_is_not_in_the_response(
    template: str, source: str | None, prompt: str, written: str, text: str
) -> None:
    tokenizer = make_tokenizer(chat_template=source)
    reader = ResponseText(tokenizer, encoding_spec(template), frozenset())
    given, tokens = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in (prompt, written))
    assert reader.read(given, tokens) == (text, False)
    unended = tokenizer("The Rhine", add_special_tokens=False)["input_ids"]
    assert reader.read(given, unended) == ("The Rhine", True)


def test_a_cut_response_ends_before_the_character_that_it_was_cut_in() -> None:
    tokenizer = make_tokenizer()
    reader = ResponseText(tokenizer, encoding_spec("chat"), frozenset())
    tokens = tokenizer("naïve 日本", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(tokens[:-1]) == "naïve 日\ufffd"
    assert reader.read([], tokens[:-1]) == ("naïve 日", True)
    assert reader.read([], tokens) == ("naïve 日本", True)
    ended = [*tokens[:-1], tokenizer.convert_tokens_to_ids(TURN_END)]
    assert reader.read([], ended) == ("naïve 日\ufffd", False)


def test_the_digest_of_responses_is_that_of_their_texts_and_takes_no_copy_of_them_all() -> None:
    count, length = 10_000, 1000
    row = [str(LONG.example_id), "x" * length, 7, False, None, None]
    table = pa.table([[value] * count for value in row], schema=RESPONSES)
    tracemalloc.start()
    digest = responses_digest("work", table)
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert highest < count * length / 4
    assert digest == responses_digest("work", pa.concat_tables([table.slice(0, 7), table.slice(7)]))
    changed = table.set_column(1, "text", pa.array([*["x" * length] * (count - 1), "y"]))
    others = [
        responses_digest("work", changed),
        responses_digest("other", table),
        responses_digest("work", table.slice(1)),
    ]
    assert digest not in others


def test_a_smaller_sample_of_rows_is_part_of_a_larger_one() -> None:
    ids = [f"{number:04d}" for number in range(500)]
    assert set(sampled_ids(ids, 50, 1)) < set(sampled_ids(ids, 200, 1)) < set(sampled_ids(ids, None, 1))
    assert len(sampled_ids(ids, 50, 1)) == 50
    assert sampled_ids(ids, 50, 1) != sampled_ids(ids, 50, 2)


def add_talks(store: Store, talks: Sequence[Example], dataset: str = "talk") -> None:
    rows = [DatasetRow(line, "odd" if line % 2 else "even", talk, b"{}") for line, talk in enumerate(talks, 1)]
    store.add_source(dataset, f"{dataset}.jsonl", "jsonl", "a hash", {}, rows)


def request(base: Path, name: str = "pairs", **fields: Any) -> GenerateRequest:
    return GenerateRequest(
        "talk", str(base), name, **{"sampling": GREEDY, "device": "cpu", "max_length": 100, **fields}
    )


def pairs_of(store: Store, dataset: str) -> list[tuple[Any, ...]]:
    """Domain, chosen example's id, prompt, chosen and rejected response of each pair."""
    return store.rows(
        """
        SELECT c.domain, c.example_id::VARCHAR, e.prompt, e.response, o.response FROM preference_pair p
        JOIN dataset_row c ON c.dataset_id = p.dataset_id AND c.row_number = chosen_row
        JOIN dataset_row r ON r.dataset_id = p.dataset_id AND r.row_number = rejected_row
        JOIN example e ON e.example_id = c.example_id JOIN example o ON o.example_id = r.example_id
        WHERE p.dataset_id = ? ORDER BY chosen_row
        """,
        [store.dataset_id(dataset)],
    )


@pytest.fixture(scope="module")
def answers(tiny_base: Path) -> list[tuple[str, bool]]:
    """The base's greedy responses to the questions by transformers and its own template, and whether each was cut."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32), make_tokenizer()
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(TURN_END)]
    found = []
    for question in QUESTIONS:
        turns = [{"role": "user", "content": question}]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        tokens = greedy(model, tokenizer(text)["input_ids"], ends)  # the tokenizer adds BOS
        answer, is_cut = tokenizer.decode(tokens, skip_special_tokens=True), tokens[-1] not in ends
        found.append((answer.rstrip("\ufffd") if is_cut else answer, is_cut))
    return found


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    run_default_jobs_inline(monkeypatch)
    with Store.open(tmp_path / "workspace", "a test") as opened:
        yield opened


def test_pairs_are_made_counted_and_scored(
    store: Store, tiny_base: Path, tiny_reference: Path, answers: list[tuple[str, bool]]
) -> None:
    replies = [*(f"Reply {number}." for number in range(4)), answers[4][0]]
    asked = list(zip(QUESTIONS, replies, strict=True))
    talks = [example(("user", question), ("assistant", reply)) for question, reply in asked]
    add_talks(store, [*talks, LONG, talks[0]])
    said: list[str] = []
    report = generate_pairs(store, request(tiny_base), wait_quietly, said.append)
    assert "6 prompts, up to 72 new tokens" in said[1]
    assert (report["prompts"], report["generated"], report["pairs"]) == (6, 5, 4)
    assert report["rejected"] == {"equal sides": 1, "prompt too long": 1}
    assert report["cut"] == sum(is_cut for _, is_cut in answers)
    assert report["notices"][0] == "Prompts that gave no pair: equal sides: 1, prompt too long: 1."
    found = pairs_of(store, "pairs")
    assert [(prompt, chosen, rejected) for _, _, prompt, chosen, rejected in found] == [
        (question, reply, answer) for (question, reply), (answer, _) in zip(asked[:4], answers, strict=False)
    ]
    assert [(domain, example_id) for domain, example_id, *_ in found] == [
        ("odd" if number % 2 == 0 else "even", str(talk.example_id)) for number, talk in enumerate(talks[:4])
    ]
    (source,) = sources_of(store, "pairs")
    assert source["format"] == "preference"
    assert source["options"]["origin"]["sampling"] == "greedy, at most 12 new tokens"
    assert origin_sentences(store, "pairs") == [
        f"Chosen: replies of dataset talk. Rejected: responses of {report['base']} (greedy, at most 12 new tokens); "
        f"{report['cut']} were cut. Sampling key: {report['key']}."
    ]
    assert origin_sentences(store, "talk") == []
    again = generate_pairs(store, request(tiny_base), wait_quietly, unsaid)
    assert {**again, "notices": report["notices"]} == {
        **report, "generated": 0, "tokens": 0, "tokens_per_second": None, "elapsed_seconds": 0.0,
    }  # fmt: skip
    score = ScoreRequest("pairs", str(tiny_base), str(tiny_reference), run="margins", device="cpu", max_length=100)
    score_dataset(store, score, wait_quietly, unsaid)
    table = store.run("margins")["table"]
    columns = "implicit_reward AS reward, preference_margin AS margin"
    scored = store.frame(f"SELECT {columns} FROM {table} ORDER BY row_number")
    assert len(scored) == 8
    expected = scored.reward.to_numpy()[0::2] - scored.reward.to_numpy()[1::2]
    assert scored.margin.to_numpy() == pytest.approx(np.repeat(expected, 2))
    assert np.abs(expected).min() > 0


def test_earlier_replies_are_context_and_an_empty_response_gives_no_pair(
    store: Store, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = (
        ("system", "Terse."),
        ("user", "Hello."),
        ("assistant", "Hi."),
        ("user", "A river?"),
        ("assistant", "No."),
    )
    add_talks(store, [example(*turns), example(("user", "Empty?"), ("assistant", "Yes."))])
    tokenizer = make_tokenizer()
    seen: list[str] = []

    def tokens(
        _: ResponseGenerator, prompts: Sequence[NDArray[np.int32]], numbers: Any, ends: frozenset[int]
    ) -> list[list[int]]:
        seen.extend(tokenizer.decode(prompt.tolist()) for prompt in prompts)
        ending = tokenizer(TURN_END + TURN_START, add_special_tokens=False)["input_ids"][:1]
        assert set(ending) < ends
        texts = ["" if "Empty?" in tokenizer.decode(prompt.tolist()) else "The Rhine" for prompt in prompts]
        return [tokenizer(text, add_special_tokens=False)["input_ids"] + ending for text in texts]

    monkeypatch.setattr(ResponseGenerator, "tokens", tokens)
    report = generate_pairs(store, request(tiny_base), wait_quietly, unsaid)
    assert (report["pairs"], report["rejected"], report["cut"]) == (1, {"empty side": 1}, 0)
    before = "<s><|turn|>system\nTerse.<|end|>\n<|turn|>user\nHello.<|end|>\n<|turn|>assistant\nHi.<|end|>\n"
    assert f"{before}<|turn|>user\nA river?<|end|>\n<|turn|>assistant\n" in seen
    kept = [Example.from_json(text) for (text,) in store.rows(
        "SELECT conversation FROM dataset_row JOIN example USING (example_id) WHERE dataset_id = ? ORDER BY row_number",
        [store.dataset_id("pairs")],
    )]  # fmt: skip
    expected = example(*turns)
    asked = (*expected.messages[:2], replace(expected.messages[2], is_context=True), expected.messages[3])
    assert [each.messages for each in kept] == [
        (*asked, replace(expected.messages[4], content=text)) for text in ("No.", "The Rhine")
    ]
    sql = "SELECT DISTINCT original FROM dataset_row WHERE dataset_id = ?"
    ((original,),) = store.rows(sql, [store.dataset_id("pairs")])
    record = json.loads(original)
    assert record["rejected"] == [{"role": "assistant", "content": "The Rhine"}]
    assert [turn["content"] for turn in record["prompt"]] == ["Terse.", "Hello.", "Hi.", "A river?"]
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(original)
    assert import_batch(store, "again", [str(path)], SourceOptions(), HubChoice()).rows == 2
    assert pairs_of(store, "again")[0][1:] == pairs_of(store, "pairs")[0][1:]


def test_responses_that_never_differ_end_in_one_sentence(
    store: Store, tiny_base: Path, answers: list[tuple[str, bool]]
) -> None:
    add_talks(store, [example(("user", QUESTIONS[0]), ("assistant", answers[0][0]))])
    with pytest.raises(JobFailed, match=r"No prompt gave a pair \(equal sides: 1\)\. Choose another base"):
        generate_pairs(store, request(tiny_base), wait_quietly, unsaid)
    assert store.rows("SELECT name FROM dataset") == [("talk",)]


def test_a_workers_process_that_is_killed_is_followed_by_one_that_repeats_nothing(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOBASS_SHARD_SECONDS", "0")
    sampled = request(tiny_base, sampling=Sampling(12, seed=3), batch_tokens=1)
    with Store.open(tmp_path / "workspace", "a test") as store:
        add_talks(store, [example(("user", f"Count to {n}."), ("assistant", f"{n} is it.")) for n in range(60)])
        plan = plan_generation(store, sampled)
        job = join_or_start(store.workspace, plan.identity, lambda: create_generation_job(store, plan))
        wait_for(lambda: list((job.folder / RESPONSES_FOLDER).glob("*.parquet")), "the first response")
        os.kill(json.loads((job.folder / "starting.json").read_text())["process"], signal.SIGKILL)
        wait_for(lambda: not job.is_alive, "the end of the worker")
        before = {row["example_id"]: row["text"] for row in read_responses(job).to_pylist()}
        assert 0 < len(before) < 60
        assert job.outcome is None
        run_default_jobs_inline(monkeypatch)
        monkeypatch.delenv("LOBASS_SHARD_SECONDS")
        # It was killed for its memory, say: the same command may ask for less.
        report = generate_pairs(store, replace(sampled, batch_tokens=512), wait_quietly, unsaid)
        assert job.is_settled
        (second,) = (each for each in all_jobs(store.workspace) if each != job)
        assert second.request["batch_tokens"] == 512
        assert report["generated"] == 60 - len(before)
        responses = {row["example_id"]: row["text"] for row in read_responses(second).to_pylist()}
        assert before.items() < responses.items()
        # The same sampling for another dataset takes them; without them and in larger batches, it draws the same.
        few = replace(sampled, name="few", rows=7)
        assert generate_pairs(store, few, wait_quietly, unsaid)["generated"] == 0
        for each in all_jobs(store.workspace):
            for path in (each.folder / RESPONSES_FOLDER).glob("*.parquet"):
                path.unlink()
        anew = generate_pairs(store, replace(sampled, name="anew", batch_tokens=4096), wait_quietly, unsaid)
        assert anew["generated"] == 60
        assert pairs_of(store, "anew") == pairs_of(store, "pairs")


def test_responses_that_were_finished_while_nobody_waited_are_saved_and_no_job_is_started(
    store: Store, tiny_base: Path
) -> None:
    add_talks(store, [example(("user", QUESTIONS[0]), ("assistant", "Yes."))])
    job = create_generation_job(store, plan_generation(store, request(tiny_base)))
    start_worker(job)
    report = generate_pairs(store, request(tiny_base), wait_quietly, unsaid)
    assert (report["pairs"], report["generated"]) == (1, 0)
    assert all_jobs(store.workspace) == [job]


@pytest.mark.parametrize(
    ("fields", "error", "sentence"),
    [
        ({"name": " "}, NameTaken, "A dataset needs a name"),
        ({"name": "talk "}, NameTaken, "'talk' exists already, and is not of these responses"),
        ({"sampling": Sampling(100)}, ModelUnusable, "100 new tokens leave no room for a prompt within .* 100 tokens"),
        ({"sampling": Sampling(12, 1.0, 0.0)}, ModelUnusable, "top-p 0, seed 0, .* Give a temperature of 0"),
        ({"sampling": Sampling(12, -1.0)}, ModelUnusable, "temperature -1"),
        ({"dataset": "paired"}, NoUsableRows, "has preference pairs: its prompts have two answers already"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(
    store: Store, tiny_base: Path, fields: dict[str, Any], error: type[UserError], sentence: str
) -> None:
    talk = example(("user", "Name a river."), ("assistant", "The Rhine."))
    add_talks(store, [talk])
    store.add_source("paired", "p.jsonl", "preference", "b", {}, [
        DatasetRow(1, "chat", talk, b"{}", is_chosen=True), DatasetRow(1, "chat", LONG, b"{}"),
    ])  # fmt: skip
    with pytest.raises(error, match=sentence):
        generate_pairs(store, replace(request(tiny_base), **fields), wait_quietly, unsaid)
    assert all_jobs(store.workspace) == []


def test_from_python_it_is_the_same(tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_default_jobs_inline(monkeypatch)
    with Store.open(tmp_path / "workspace", "a test") as store:
        add_talks(store, [example(("user", question), ("assistant", "Yes.")) for question in QUESTIONS])
    options = {"seed": 4, "max_new_tokens": 8, "rows": 3, "device": "cpu", "progress": lambda _: None}
    with workspace.open(tmp_path / "workspace") as opened:
        report = opened.generate_pairs("talk", tiny_base, "pairs", **options)
        assert (report["pairs"], report["prompts"]) == (3, 3)
        assert report["sampling"] == {"max_new_tokens": 8, "temperature": 1.0, "top_p": 1.0, "seed": 4}
        assert "3 prompts, up to 24 new tokens" in opened.notices[-1]


def test_a_cluster_is_refused(store: Store, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_EXECUTOR", "ray")
    with pytest.raises(SettingInvalid, match="on this machine only"):
        generate_pairs(store, request(tiny_base), wait_quietly, unsaid)


def test_the_command_makes_a_dataset_and_says_what_it_left_out(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_default_jobs_inline(monkeypatch)
    folder = tmp_path / "workspace"
    with Store.open(folder, "a test") as store:
        add_talks(store, [example(("user", question), ("assistant", "Yes.")) for question in QUESTIONS] + [LONG])
    asked = ["generate", "--dataset", "talk", "--base", tiny_base, "--max-new-tokens", 8, "--temperature", 0]
    asked += ["--as", "pairs", "--max-length", 100, "--device", "cpu", "--workspace", folder]
    done = CliRunner().invoke(app, [*map(str, asked)])
    assert done.exit_code == 0, done.output
    made = (
        "Dataset 'pairs': 5 preference pairs from 6 prompts, 5 responses generated now (greedy, at most 8 new tokens)."
    )
    assert made in done.stdout
    again = json.loads(CliRunner().invoke(app, [*map(str, asked), "--json"]).stdout)
    assert (again["pairs"], again["generated"], again["rejected"]) == (5, 0, {"prompt too long": 1})
