"""Which GPU a process gets, and by what a machine is taken for one that has any."""

import os
from pathlib import Path

import pytest

from core.data.errors import ModelUnusable
from core.models.devices import (
    has_driver,
    keep_to_share,
    process_environment,
    resolve_device,
    scoring_processes,
    training_dtype,
)


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


@pytest.mark.parametrize(
    ("device", "name", "expected"), [("cuda", "CUDA_VISIBLE_DEVICES", "6"), ("cpu", "OMP_NUM_THREADS", "3")]
)
def test_one_of_several_models_side_by_side_keeps_to_its_gpu_or_its_cores(
    device: str, name: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.models.devices._gpu_count", lambda: 2)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("LOBASS_SCORING_PROCESSES", "4")
    keep_to_share(device, 1, 2)
    monkeypatch.setenv(name, os.environ[name])  # taken back afterwards
    assert os.environ[name] == expected
    assert scoring_processes(device) == 1


def test_a_gpu_that_is_asked_for_and_not_there_is_said_with_the_build_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.models.devices._gpu_count", lambda: 0)
    with pytest.raises(ModelUnusable, match=r"torch 2\.\d+\S* finds none. Choose auto or cpu"):
        resolve_device("cuda")
    assert resolve_device("auto") == "cpu"


def test_only_what_stays_as_it_is_is_trained_on_in_bfloat16() -> None:
    found = [training_dtype(method, device) for method in ("lora", "full") for device in ("cuda", "cpu")]
    assert found == ["bfloat16", "float32", "float32", "float32"]
