"""What is installed: every requirement is locked with hashes, from nowhere in particular, under a licence we accept."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest

from core.system.file_hash import file_sha256
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


@pytest.mark.parametrize(
    "package", ["pacmap", "faiss-cpu", "numba", "llvmlite", "scikit-learn", "joblib", "threadpoolctl"]
)
def test_what_the_extra_for_maps_brings_has_a_licence_that_we_accept(package: str) -> None:
    pytest.importorskip("pacmap", reason="the extra map is not installed")
    assert set(licences_in(licence_of(package))) <= ALLOWED


def test_what_the_extra_for_sentence_models_brings_has_a_licence_that_we_accept() -> None:
    if find_spec("sentence_transformers") is None:  # to import it takes seconds
        pytest.skip("the extra sentence is not installed")
    assert set(licences_in(licence_of("sentence-transformers"))) <= ALLOWED


def test_the_list_of_licences_is_up_to_date() -> None:
    assert (ROOT / "docs" / "licences.md").read_text(encoding="utf-8") == table()


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder with our Makefile, whose lock file has one package, and a wheel of it; no index is asked."""

    folder: Path
    wheel: Path

    def lock(self, hashes: str) -> None:
        (self.folder / "requirements.lock").write_text(f"tiny==1.0 {hashes}\n", encoding="utf-8")

    def wheel_hash(self) -> str:
        return f"--hash=sha256:{file_sha256(self.wheel)}"

    def install(self) -> subprocess.CompletedProcess[str]:
        places = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.folder), "PIP_CONFIG_FILE": os.devnull}
        command = ["make", "venv/app-installed", "VENV=venv", f"PYTHON={sys.executable}"]
        return subprocess.run(command, cwd=self.folder, env=os.environ | places, capture_output=True, text=True)

    def is_installed(self) -> bool:
        return any(self.folder.glob("venv/lib/*/site-packages/tiny.py"))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    (tmp_path / "requirements.txt").write_text("# torch would stand here\n", encoding="utf-8")
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    about = "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\nRequires-Dist: left-out-of-the-lock\n"
    with ZipFile(wheel, "w") as parts:
        parts.writestr("tiny.py", "")
        parts.writestr("tiny-1.0.dist-info/METADATA", about)
        parts.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        parts.writestr("tiny-1.0.dist-info/RECORD", "tiny.py,,\n")
    return Checkout(tmp_path, wheel)


def test_make_installs_what_the_lock_file_names_and_nothing_else(checkout: Checkout) -> None:
    checkout.lock(checkout.wheel_hash())
    made = checkout.install()
    assert made.returncode == 0, made.stderr
    assert checkout.is_installed()


def test_make_refuses_a_package_that_is_not_the_one_that_was_locked(checkout: Checkout) -> None:
    checkout.lock(checkout.wheel_hash())
    with ZipFile(checkout.wheel, "a") as parts:
        parts.writestr("stranger.py", "")
    made = checkout.install()
    assert made.returncode != 0
    assert "DO NOT MATCH THE HASHES" in made.stderr
    assert not checkout.is_installed()


def test_make_refuses_a_package_that_is_locked_without_a_hash(checkout: Checkout) -> None:
    checkout.lock("")
    made = checkout.install()
    assert made.returncode != 0
    assert "Hashes are required in --require-hashes mode" in made.stderr
    assert not checkout.is_installed()
