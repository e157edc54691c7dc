"""Settings: the environment overrides a default, and a value that cannot be read ends in a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.data.errors import SettingInvalid
from core.data.settings import SETTINGS, Setting, check_settings, chosen, integer, number, text
from core.store import Store

ROOT = Path(__file__).resolve().parents[3]
NUMBERS = [setting for setting in SETTINGS if not isinstance(setting.default, str)]


def test_the_environment_overrides_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (integer("max_length"), number("shard_seconds")) == (2048, 2.0)
    monkeypatch.setenv("LOBASS_MAX_LENGTH", "512")
    monkeypatch.setenv("LOBASS_SHARD_SECONDS", "0.5")
    assert (integer("max_length"), number("shard_seconds")) == (512, 0.5)


def test_what_is_chosen_holds_in_its_context_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_RAY_WORKERS", "3")
    with chosen({"ray_workers": "4", "executor": None}):
        assert (integer("ray_workers"), text("executor")) == (4, "local")
        with chosen({"executor": "ray"}):
            assert (integer("ray_workers"), text("executor")) == (4, "ray")
    assert (integer("ray_workers"), text("executor")) == (3, "local")


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
def test_what_is_no_number_is_said_with_what_to_do(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    check_settings()
    monkeypatch.setenv(setting.variable, "plenty")
    with pytest.raises(
        SettingInvalid, match=rf"^{setting.variable} is 'plenty', which is not a (whole )?number\. Set it"
    ):
        check_settings()


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
def test_a_number_that_nothing_can_mean_is_refused(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = ["-5", "10000000000000000", *([] if isinstance(setting.default, int) else ["nan", "inf", "-inf", "1e400"])]
    for value in wrong:
        monkeypatch.setenv(setting.variable, value)
        with pytest.raises(SettingInvalid, match=rf"^{setting.variable} is '{value}'\. Set it to a number from "):
            check_settings()


def test_the_smallest_and_the_largest_numbers_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in NUMBERS:
        for value in (setting.least, setting.most):
            monkeypatch.setenv(setting.variable, str(value))
            check_settings()


def test_what_duckdb_does_not_take_is_no_fault_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_STORE_MEMORY", "lots")
    with pytest.raises(SettingInvalid, match=r"cannot be opened with its settings .* Correct LOBASS_STORE_MEMORY"):
        Store.open(tmp_path / "workspace", "a test")


@pytest.mark.parametrize(
    ("variable", "command"),
    [("LOBASS_STORE_THREADS", ["core", "status"]), ("LOBASS_MAX_UPLOAD_MEGABYTES", ["ui.serve"])],
)
def test_a_program_that_meets_one_ends_in_that_sentence(variable: str, command: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, variable: "plenty", "LOBASS_WORKSPACE": str(tmp_path / "workspace")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"{variable} is 'plenty', which is not a whole number.")
    assert "Traceback" not in done.stderr
