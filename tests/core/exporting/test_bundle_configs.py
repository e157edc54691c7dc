"""A bundle's config names the model exactly, whatever characters its path has."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from core.data.errors import ExportFailed
from core.exporting import export_bundle
from core.exporting.bundle_plan import BundlePlan
from core.exporting.trainer_configs import axolotl_files, llama_factory_files, trl_files
from tests.core.bundle_rows import ALL, SINGLE, talk_store

CHARACTERS = [*range(0x100), 0x2028, 0x2029, 0x200B, 0x202E, 0xD7FF, 0xE000, 0xFEFF, 0xFFFD, 0xFFFE, 0xFFFF, 0x1F600]
CONFIGS = (
    (llama_factory_files, "train.yaml", "model_name_or_path"),
    (trl_files, "sft.yaml", "model_name_or_path"),
    (axolotl_files, "axolotl.yaml", "base_model"),
)


@pytest.mark.parametrize(("files", "name", "key"), CONFIGS)
def test_a_config_is_read_back_with_every_character_of_a_models_path(
    files: Callable[[BundlePlan], dict[str, str]], name: str, key: str
) -> None:
    usual = yaml.safe_load(files(BundlePlan("chat", 512, "base"))[name])
    for character in map(chr, [*CHARACTERS, 0x10FFFF]):
        for model in (f"/models/a{character}b", f"{character}", f" {character} : # '\\", f"no{character}\n- x: 1"):
            read = yaml.safe_load(files(BundlePlan("chat", 512, model))[name])
            assert read == {**usual, key: model}


def test_a_model_whose_name_is_no_text_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with (
        talk_store(tmp_path / "w", SINGLE, model=Path("/models/\udcff")) as store,
        pytest.raises(ExportFailed, match="is not valid Unicode"),
    ):
        export_bundle(store, ALL, tmp_path / "out", "trl")
    assert not (tmp_path / "out").exists()
