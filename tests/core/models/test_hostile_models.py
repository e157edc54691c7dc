"""Model folders from strangers end in one sentence: no code of theirs runs, nothing is fetched, nothing hangs."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.core.hostile_model_cases import CASES, SCORED, Case
from tests.tiny_models import save_lora_adapter

ROOT = Path(__file__).resolve().parents[3]
MARKER = "a stranger's code ran"
MOST_MEGABYTES, MOST_SECONDS = 2000, 15.0  # of the processor; the first to load a model pays for torch


@pytest.fixture(scope="module")
def ends(
    tiny_base: Path, tiny_reference: Path, made_once: Callable[[str, Callable[[Path], object]], Path]
) -> dict[str, dict[str, Any]]:
    """How each case ended: all are scored in one process, because loading torch takes longer than all of them."""

    def run(folder: Path) -> None:
        adapter = save_lora_adapter(folder / "adapter", tiny_base)
        cases = [
            models_of(case, folder / f"case-{i}", tiny_base, tiny_reference, adapter) for i, case in enumerate(CASES)
        ]
        (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "tests.core.hostile_model_run", str(folder)],
            cwd=ROOT,
            env={
                **os.environ,
                "HOSTILE_MARKER": str(folder / MARKER),
                "LOBASS_TEMPLATE_SECONDS": "0.3",
                "LOBASS_TEMPLATE_MEGABYTES": "256",
                "LOBASS_TOKENIZER_SECONDS": "2",
                "HF_HOME": str(folder / "hub"),
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        (folder / "ends.jsonl").write_text(done.stdout, encoding="utf-8")
        (folder / "errors.txt").write_text(done.stderr, encoding="utf-8")

    folder = made_once("hostile-models", run)
    lines = [json.loads(line) for line in (folder / "ends.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == len(CASES), (folder / "errors.txt").read_text(encoding="utf-8")[-3000:]
    return {line["case"]: {**line, "marker": (folder / MARKER).exists()} for line in lines}


def models_of(case: Case, folder: Path, base: Path, reference: Path, adapter: Path) -> list[str]:
    """Spoil a copy of the model that the case is about; its name, base and reference."""
    good = adapter if case.role.startswith("adapter") else reference if case.role == "reference" else base
    spoilt = Path(shutil.copytree(good, folder / "model"))
    case.spoil(spoilt)
    if case.role == "both":
        return [case.name, str(spoilt), str(spoilt)]
    if case.role in ("base", "adapter as base"):
        return [case.name, str(spoilt), str(reference)]
    return [case.name, str(base), str(spoilt)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
def test_a_model_from_a_stranger_ends_in_one_sentence_and_does_nothing_else(
    case: Case, ends: dict[str, dict[str, Any]]
) -> None:
    end = ends[case.name]
    assert end["seen"] == []
    assert re.search(f"^{SCORED}$" if case.ends == SCORED else case.ends, end["end"]), end["end"]
    assert "DEFECT" not in end["end"]
    assert "unexpected error" not in end["end"]
    assert len(end["end"]) < 700
    assert "\n" not in end["end"]
    assert end["seconds"] < MOST_SECONDS


def test_no_strangers_code_ran_and_memory_stayed_bounded(ends: dict[str, dict[str, Any]]) -> None:
    assert not any(end["marker"] for end in ends.values())
    assert max(end["memory"] for end in ends.values()) < MOST_MEGABYTES


def test_there_are_as_many_cases_as_were_promised() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 40
