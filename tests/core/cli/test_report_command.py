"""The command `report`, as a script runs it: the file, its JSON, and a sentence for what was named wrongly."""

from pathlib import Path

import pytest

from core.selection import Selection, save_selection
from core.store import Store
from core.workspace.answering import Answering
from tests.command_line import result, run
from tests.reported_run import add_reported_run
from tests.two_runs import TwiceScored, import_rows, score_rows


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reported")
    rows = [TwiceScored("chat", 20.0, 10.0, None, f"answer {number}") for number in range(5)]
    with Store.open(folder / "workspace", "a test") as store:
        add_reported_run(store, folder / "models")
        import_rows(store, rows, dataset="other data")
        score_rows(store, rows, "other", "one", dataset="other data")
        save_selection(store, "of the other", Selection("other"))
    return folder / "workspace"


def test_the_command_writes_one_file_and_says_what_it_wrote(workspace: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    report = result(workspace, "report", "--run", "first", "--selection", "curated", "--output", path)
    assert report == {"run": "first", "selection": "curated", "path": str(path), "bytes": path.stat().st_size}
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]
    assert "Selection: <bdi>curated</bdi>" in path.read_text(encoding="utf-8")


def test_beside_the_owner_a_report_has_the_trials_too(workspace: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    with Store.open(workspace, "the dashboard") as store, Answering(store):
        result(workspace, "report", "--run", "first", "--output", path)
    assert "Plan, fixed before the first model was trained" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--run", "nowhere"], "nowhere"),
        (["--run", "first", "--selection", "nothing"], "nothing"),
        (["--run", "first", "--selection", "of the other"], "selects from the run 'other', not from 'first'"),
        (["--run", "first", "--output", "{tmp}/report.jsonl"], "does not end in .html"),
        (["--run", "first", "--output", "{tmp}/no/report.html"], "does not exist"),
        (["--run", "first", "--output", "{tmp}/folder.html"], "is a folder"),
    ],
)
def test_what_is_named_wrongly_gives_one_sentence_and_no_file(
    workspace: Path, tmp_path: Path, options: list[str], sentence: str
) -> None:
    (tmp_path / "folder.html").mkdir()
    given = [option.replace("{tmp}", str(tmp_path)) for option in options]
    if "--output" not in given:
        given += ["--output", str(tmp_path / "report.html")]
    done = run(workspace, "report", *given)
    assert (done.returncode, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["folder.html"]


def test_a_broken_setting_is_refused_before_anything_is_opened(workspace: Path, tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    done = run(workspace, "report", "--run", "first", "--output", output, LOBASS_MAX_LENGTH="many")
    assert done.returncode == 1
    assert "LOBASS_MAX_LENGTH" in done.stderr
    assert not output.exists()
