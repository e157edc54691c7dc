"""Masks as trainers' own code makes them: TRL is there, the others where an interpreter with them is named."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from core.data.errors import ExportFailed
from core.exporting.mask_comparison import READ_BY, compare_with_trainer
from core.exporting.mask_diff import Difference, MaskReport
from core.selection import save_selection
from tests import command_line
from tests.core.bundle_rows import (
    ALL,
    CALLS,
    CONTEXT_BETWEEN,
    ONE_SCORED,
    RICH_TEMPLATE,
    SCORED_AFTER_CONTEXT,
    SEVERAL,
    SINGLE,
    THOUGHTS,
    example,
    talk_store,
)
from tests.tiny_models import save_model_folder

PYTHONS = {
    trainer: os.environ.get(f"LOBASS_{package.upper()}_PYTHON")
    or (sys.executable if importlib.util.find_spec(package) else None)
    for trainer, package in READ_BY.items()
}


def python_with(trainer: str) -> str:
    python = PYTHONS[trainer]
    if python is None:
        pytest.skip(
            f"{READ_BY[trainer]} wants other versions than ours: install it into an environment of its own and name "
            f"its interpreter in LOBASS_{READ_BY[trainer].upper()}_PYTHON"
        )
    return python


def test_what_trl_trains_on_besides_is_told_with_its_texts(tmp_path: Path) -> None:
    # The tiny template leaves out the start of text, which scoring adds, and writes a line break after every turn.
    model = save_model_folder(tmp_path / "base")
    with talk_store(tmp_path / "workspace", SINGLE, "chat", model) as store:
        save_selection(store, "all", ALL)
    options = ("--selection", "all", "--bundle", "trl", "--rows", 3)
    found = command_line.result(tmp_path / "workspace", "masks", *options)
    assert (found["rows"], found["equal_rows"], found["dropped_rows"]) == (3, 0, [])
    assert found["trained_tokens"] - found["scored_tokens"] == 3
    assert [(one["kind"], one["text"], one["rows"]) for one in found["differences"]] == [
        ("trained_only", "\n", 3),
        ("not_read", "<s>", 3),
    ]


def test_a_row_that_trl_drops_is_named_by_its_number(tmp_path: Path) -> None:
    model = save_model_folder(tmp_path / "base", adds_bos=False)
    filling = example(("user", "word " * 400), ("assistant", "Yes."))
    with talk_store(tmp_path / "workspace", [SINGLE[0], filling, SINGLE[1]], "chat", model, max_length=64) as store:
        report = compare_with_trainer(store, ALL, "trl", 10)
    assert (report.rows, report.dropped_rows) == (2, (2,))


def test_a_trainer_that_is_not_there_is_named_with_its_package(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    with talk_store(tmp_path / "workspace", SINGLE) as store:
        with pytest.raises(ExportFailed, match=r"TRL \(SFTTrainer\) is not installed .* package trl, or .* --python"):
            compare_with_trainer(store, ALL, "trl", 10, str(bare))
        with pytest.raises(ExportFailed, match="cannot be run"):
            compare_with_trainer(store, ALL, "trl", 10, str(tmp_path / "nothing"))
        with pytest.raises(ExportFailed, match=r"cannot be compared\. Choose: trl, axolotl, llama-factory"):
            compare_with_trainer(store, ALL, "plain", 10)


def test_a_bundle_on_which_trl_stops_is_told_in_its_own_words(tmp_path: Path) -> None:
    model = save_model_folder(tmp_path / "base", adds_bos=False)
    with (
        talk_store(tmp_path / "workspace", SEVERAL, "chat", model) as store,
        pytest.raises(ExportFailed, match=r"TRL .* fails on this bundle, .* not training-compatible"),
    ):
        compare_with_trainer(store, ALL, "trl", 10)


def rich_report(tmp_path: Path, trainer: str, template: str, **encoding: str) -> MaskReport:
    talks = (*CALLS, *THOUGHTS, *ONE_SCORED, *SCORED_AFTER_CONTEXT, CONTEXT_BETWEEN)
    model = save_model_folder(tmp_path / "base", chat_template=template, adds_bos=False)
    with talk_store(tmp_path / "workspace", talks, "chat", model, **encoding) as store:
        return compare_with_trainer(store, ALL, trainer, 100, python_with(trainer))


def test_axolotl_reads_tool_calls_thoughts_and_context_as_they_were_scored(tmp_path: Path) -> None:
    # It trains on an end of turn where that is the tokenizer's end of text.
    report = rich_report(tmp_path, "axolotl", RICH_TEMPLATE.replace("<|end|>", "</s>"))
    assert (report.rows, report.equal_rows, report.differences) == (10, 10, ())


def test_llama_factory_leaves_earlier_replies_out_where_the_last_alone_is_scored(tmp_path: Path) -> None:
    model = save_model_folder(tmp_path / "base", adds_bos=False)
    talks = (*ONE_SCORED, *SCORED_AFTER_CONTEXT)
    with talk_store(tmp_path / "workspace", talks, "chat", model, replies="last") as store:
        report = compare_with_trainer(store, ALL, "llama-factory", 100, python_with("llama-factory"))
    assert report.shared_tokens == report.scored_tokens
    assert report.differences == (Difference("trained_only", "\n", 4, 4, (1, 2, 3, 4)),)
