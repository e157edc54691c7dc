"""Models come to a node: its own folder if it has the same files, else a copy by content, made once."""

from pathlib import Path

from core.models.resolving import hash_of_weights
from core.workspace.cluster.job_files import Piece
from core.workspace.cluster.model_staging import folder_on_node, model_folders, read_piece, stage, with_paths
from tests.tiny_models import spec_of


def test_a_model_that_a_node_lacks_is_copied_once_and_has_the_same_hash(tmp_path: Path, tiny_base: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for path in tiny_base.iterdir():
        (home / path.name).write_bytes(path.read_bytes())
    (home / "notes.md").write_text("not of the model")
    request = {"kind": "score", "base": spec_of(home).to_fields(), "parts": [{"model": spec_of(home).to_fields()}]}
    (folder,) = model_folders(request)
    assert folder_on_node(folder, tmp_path / "staged") == home
    away = home.rename(tmp_path / "away")  # on the node there is no such path
    assert folder_on_node(folder, tmp_path / "staged") is None
    reads: list[str] = []

    def read(path: str, start: int) -> Piece:
        reads.append(path)
        return read_piece(path.replace(str(home), str(away)), start)

    copy = stage(folder, tmp_path / "staged", read)
    assert stage(folder, tmp_path / "staged", read) == copy == folder_on_node(folder, tmp_path / "staged")
    assert len(reads) == len(set(reads)) == len(folder.files)
    assert not (copy / "notes.md").exists()
    assert hash_of_weights(copy) == request["base"]["weights_hash"]
    adapted = with_paths(request, {str(home): str(copy)})
    assert adapted["base"]["path"] == adapted["parts"][0]["model"]["path"] == str(copy)
    assert adapted["planned_base"] == request["base"]["path"] == str(home)


def test_a_folder_with_other_files_under_the_same_path_is_not_the_model(tmp_path: Path, tiny_base: Path) -> None:
    (folder,) = model_folders({"base": spec_of(tiny_base).to_fields()})
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    moved = type(folder)(str(other), folder.files, folder.digest)
    assert folder_on_node(moved, tmp_path / "staged") is None
