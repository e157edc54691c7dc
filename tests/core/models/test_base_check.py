"""A base is checked as it is named, and those in the allowed folders are found."""

import shutil
from pathlib import Path

import pytest

from core.models.base_check import bases_on_machine, check_base


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOBASS_ALLOWED_FOLDERS", str(tmp_path))
    return tmp_path / "workspace"


def test_models_in_the_allowed_folders_are_found_but_none_of_the_workspace(
    workspace: Path, tmp_path: Path, tiny_base: Path, tiny_reference: Path
) -> None:
    found = shutil.copytree(tiny_base, tmp_path / "models" / "tiny")
    shutil.copytree(tiny_base, workspace / "models" / "taught")
    shutil.copytree(tiny_base, tmp_path / ".hidden" / "tiny")
    (tmp_path / "data").mkdir()
    assert bases_on_machine(workspace) == [str(found)]


def test_a_usable_base_is_one_line_and_one_without_a_tokenizer_is_refused(
    workspace: Path, tmp_path: Path, tiny_base: Path
) -> None:
    folder = shutil.copytree(tiny_base, tmp_path / "tiny")
    good = check_base(str(folder), workspace)
    assert good.usable
    assert good.parameters > 0
    assert "tokenizer found" in good.sentence
    for path in [*folder.glob("*token*"), *folder.glob("vocab*"), *folder.glob("*.model")]:
        path.unlink()
    bad = check_base(str(folder), workspace)
    assert not bad.usable
    assert "has no tokenizer" in bad.sentence
    assert "outside the allowed folders" in check_base("/etc", workspace).sentence
