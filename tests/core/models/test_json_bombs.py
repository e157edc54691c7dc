"""JSON in a model's folder that would fill the memory once it is parsed is refused before anything parses it."""

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from core.data.errors import ModelUnusable
from core.models.folder_check import check_adapter_folder, read_json
from core.models.resolving import resolve_model
from core.system.program import DEMO

MOST_MEMORY = 150
"""What a refusal may take [MB]; parsed, 60 MB of `{}` take 1,385 MB."""
_MEASURED = """
import resource, sys
from pathlib import Path
from core.data.errors import ModelUnusable
from core.models.resolving import resolve_model

def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
folder = Path(sys.argv[1])
resolve_model(str(folder / "good"), folder)
before = peak()
try:
    resolve_model(str(folder / "bad"), folder)
except ModelUnusable as error:
    print(error, peak() - before, sep="|")
"""


def write_bomb(path: Path, parts: int) -> None:
    with open(path, "wb") as file:
        file.write(b'{"a": [')
        for _ in range(parts // 200_000):
            file.write(b"{}," * 100_000)
        file.write(b"0]}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO / "base", tmp_path / "bad"))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("config.json", 600_000),
        ("tokenizer_config.json", 600_000),
        ("generation_config.json", 600_000),  # transformers parses it, and nothing here does
        ("special_tokens_map.json", 600_000),
        ("model.safetensors.index.json", 600_000),
        ("tokenizer.json", 4_200_000),
        ("provenance.json", 7_200_000),
    ],
)
def test_a_model_whose_json_has_too_many_parts_is_refused(folder: Path, name: str, parts: int) -> None:
    write_bomb(folder / name, parts)
    with pytest.raises(ModelUnusable, match=rf"{name} has [\d,]+ parts; at most [\d,]+ are read\. Fetch the model"):
        resolve_model(str(folder), folder.parent)


def test_an_adapter_whose_json_has_too_many_parts_is_refused(tmp_path: Path) -> None:
    write_bomb(tmp_path / "adapter_config.json", 600_000)
    with pytest.raises(ModelUnusable, match=r"adapter_config\.json has"):
        check_adapter_folder("a", tmp_path)


def test_a_table_of_tensors_with_too_many_parts_is_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    write_bomb(folder / "table", 3_200_000)
    table = (folder / "table").read_bytes()
    weights.write_bytes(struct.pack("<Q", len(table)) + table)
    with pytest.raises(ModelUnusable, match=r"its table of tensors has [\d,]+ parts; at most 3,000,000 are read\)"):
        resolve_model(str(folder), folder.parent)


def test_a_list_of_tokens_or_examples_may_have_many_parts(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "vocab.json", "provenance.json"):
        path = tmp_path / name
        path.write_text('{"ids": [' + "1," * 2_000_000 + "1]}")
        assert len(read_json(path)["ids"]) == 2_000_001


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer.json"])
def test_60_mb_of_objects_are_refused_in_bounded_memory(folder: Path, name: str) -> None:
    shutil.copytree(folder, folder.parent / "good")
    write_bomb(folder / name, 40_000_000)
    command = [sys.executable, "-c", _MEASURED, str(folder.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    sentence, grown = done.stdout.rsplit("|", 1)
    assert "parts; at most" in sentence
    assert int(grown) / (2**20 if sys.platform == "darwin" else 1024) < MOST_MEMORY, done.stdout
