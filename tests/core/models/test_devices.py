"""Which GPU a process gets, and by what a machine is taken for one that has any."""

from pathlib import Path

import pytest

from core.data.errors import ModelUnusable
from core.models.devices import has_driver, process_environment, resolve_device, training_dtype


@pytest.mark.parametrize("file", ["nvidia0", "nvidia12", "dxg", "kfd"])
def test_the_driver_of_a_gpu_is_known_by_its_device_file(tmp_path: Path, file: str) -> None:
    for other in ("null", "nvidiactl", "nvidia-uvm", "dri"):
        (tmp_path / other).touch()
    assert not has_driver(tmp_path)
    (tmp_path / file).touch()
    assert has_driver(tmp_path)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("4,6", ["4", "6", "4"]),
        ("GPU-5a1b,GPU-77c0", ["GPU-5a1b", "GPU-77c0", "GPU-5a1b"]),
        ("MIG-0f2e", ["MIG-0f2e"] * 3),
        ("", ["0", "0", "0"]),
    ],
)
def test_each_process_sees_one_of_the_gpus_that_may_be_seen(
    visible: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.models.devices._gpu_count", lambda: 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = [process_environment("cuda", number, 3) for number in range(3)]
    assert found == [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in expected]


def test_a_gpu_that_is_asked_for_and_not_there_is_said_with_the_build_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.models.devices._gpu_count", lambda: 0)
    with pytest.raises(ModelUnusable, match=r"torch 2\.\d+\S* finds none. Choose auto or cpu"):
        resolve_device("cuda")
    assert resolve_device("auto") == "cpu"


def test_only_what_stays_as_it_is_is_trained_on_in_bfloat16() -> None:
    found = [training_dtype(method, device) for method in ("lora", "full") for device in ("cuda", "cpu")]
    assert found == ["bfloat16", "float32", "float32", "float32"]
