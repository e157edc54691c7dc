"""What is installed: every requirement is locked with hashes, from nowhere in particular, under a licence we accept."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.licences import ALLOWED, LOCK, licence_of, licences_in, locked, table

ROOT = Path(__file__).resolve().parents[1]
TEXT = LOCK.read_text(encoding="utf-8")
NOT_LOCKED = {"torch"}  # each machine has its own build: with CUDA, or for the processor


def same(name: str) -> str:
    """A package's name as packaging compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_requirement_is_locked_at_its_pin() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = {same(re.split(r"\[|==", line)[0]): line.split("==")[1] for line in lines if line and line[0] != "#"}
    found = {same(name): number for name, number in locked().items()}
    assert {name: found.get(name) for name in pins if name not in NOT_LOCKED} == {
        name: number for name, number in pins.items() if name not in NOT_LOCKED
    }


def test_every_locked_package_has_hashes_and_comes_from_no_named_place() -> None:
    entries = re.split(r"^(?=\S)", TEXT, flags=re.M)[1:]
    assert entries
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries if entry[0] not in "#")
    assert not re.search(r"https?:|file:|@ |--index|--find-links|--extra", TEXT)


def test_what_is_installed_is_what_is_locked() -> None:
    assert {name: version(name) for name in locked()} == locked()


@pytest.mark.parametrize("package", sorted([*locked(), "torch"]))
def test_every_licence_is_one_that_we_accept(package: str) -> None:
    names = licences_in(licence_of(package))
    assert names
    assert set(names) <= ALLOWED


def test_the_list_of_licences_is_up_to_date() -> None:
    assert (ROOT / "docs" / "licences.md").read_text(encoding="utf-8") == table()


def test_make_installs_from_the_lock_file() -> None:
    assert "pip install --quiet --require-hashes --no-deps -r requirements.lock" in (ROOT / "Makefile").read_text(
        encoding="utf-8"
    )
