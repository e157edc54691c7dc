"""`python -m core scores`, and a selection by what it imported, as a script would run them."""

import json
from pathlib import Path

import pytest

from tests import command_line
from tests.fakes import ScoredRecord, build_scored_store

ROWS = [ScoredRecord("chat", 1.0, n / 20, 10, f"answer {n}") for n in range(20)]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    build_scored_store(tmp_path / "workspace", ROWS).close()
    return tmp_path / "workspace"


def test_a_file_is_imported_listed_selected_by_and_removed(workspace: Path, tmp_path: Path) -> None:
    path = tmp_path / "judge.jsonl"
    path.write_text("".join(json.dumps({"row": n, "Judge": n}) + "\n" for n in range(1, 20)))
    found = command_line.result(workspace, "scores", "import", path, "--run", "planets", "--by", "row")
    (score,) = found["scores"]
    assert (score["name"], score["rows"], score["rows_without"]) == ("imported_judge", 19, 1)
    listed = command_line.run(workspace, "scores", "list", "--run", "planets").stdout
    assert listed.startswith("imported_judge: 19 rows have a value, 1 have none; column Judge of judge.jsonl")
    recipe = ["select", "--run", "planets", "--name", "top", "--rows", 3, "--score", "imported_judge"]
    added = ["--add-score", "base_loss=0.5"]
    assert command_line.result(workspace, *recipe, *added)["kept"] == 3
    command_line.result(workspace, "losses", "--run", "planets", "--output", tmp_path / "o.jsonl", "--all-scores")
    first = json.loads((tmp_path / "o.jsonl").read_text().splitlines()[0])
    assert first["imported_judge"] == 1.0
    assert len(first["text_hash"]) == 64
    command_line.result(workspace, "scores", "remove", "judge", "--run", "planets")
    done = command_line.run(workspace, *recipe)
    assert done.returncode == 1
    assert "judge (imported) is not in this run's dataset. Import it with:" in done.stderr


def test_a_wrong_key_is_wrong_usage_and_a_wrong_file_an_error(workspace: Path, tmp_path: Path) -> None:
    path = tmp_path / "judge.csv"
    path.write_text("row,judge\n77,1\n")
    done = command_line.run(workspace, "scores", "import", path, "--run", "planets", "--by", "place")
    assert done.returncode == 2
    assert "row, example-id, text-hash" in done.stderr
    done = command_line.run(workspace, "scores", "import", path, "--run", "planets", "--by", "row")
    assert done.returncode == 1
    assert "match no row of the dataset 'space'" in done.stderr
    assert "No scores were imported" in command_line.run(workspace, "scores", "list", "--run", "planets").stdout
