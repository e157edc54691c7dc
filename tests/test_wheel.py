"""The wheel, installed into an empty environment, works far from any checkout: command, library and dashboard."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.browser.dashboard import free_port
from tests.documents import python_blocks
from tests.ui.shell.test_closed_server import handshake
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[1]
BASE = "demo/base"
NOT_INSTALLED = {"core", "ui", "pages", "demo", "app", "tests", "wheel_parts"}


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment that has the wheel, and an empty folder from which it is used."""

    environment: Path
    folder: Path

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        (found,) = self.environment.glob("lib/python3*/site-packages")
        return found

    def start(self, *command: object) -> subprocess.Popen[str]:
        """A program of the environment, with nothing of this process's Python in its surroundings."""
        program, *arguments = map(str, command)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LOBASS"))}
        return subprocess.Popen(
            [self.environment / "bin" / program, *arguments],
            cwd=self.folder,
            env={**clean, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: object) -> str:
        """What it prints; fails the test if it does not exit with 0."""
        process = self.start(*command)
        stdout, stderr = process.communicate()
        assert process.returncode == 0, stderr
        return stdout

    def result(self, *command: object) -> dict[str, Any]:
        """The JSON of a `lobass` command."""
        return dict(json.loads(self.run("lobass", *command, "--json")))


def make(*command: object) -> None:
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel of this checkout without its dependencies, which are those of this process's environment."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    make(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    make(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    there = Installed(folder / "venv", folder / "elsewhere")
    there.folder.mkdir()
    make(*pip, "--python", there.environment / "bin/python", "install", "--quiet", "--no-deps", "--no-index", wheel)
    assert not NOT_INSTALLED & {path.stem for path in there.packages.iterdir()}
    assert [path.name for path in sorted(there.packages.iterdir()) if not path.name.startswith("lobass")] == []
    dependencies = Path(pytest.__file__).parents[1]
    (there.packages / "dependencies.pth").write_text(f"{dependencies}\n", encoding="utf-8")
    return there


def test_the_wheel_installs_one_package_and_one_command(installed: Installed) -> None:
    names = {re.sub(r"-.*", "", path.name) for path in installed.packages.iterdir() if path.suffix != ".pth"}
    assert names == {"lobass"}
    assert (installed.environment / "bin" / "lobass").exists()
    found = installed.packages / "lobass"
    assert not (found / "demo" / "making").exists()
    assert (found / "demo" / "dataset.jsonl").read_bytes() == (ROOT / "demo" / "dataset.jsonl").read_bytes()
    said = installed.run("python", "-c", "import lobass, sys; print(lobass.__file__, 'core' in sys.modules)")
    assert said.split() == [str(found / "__init__.py"), "False"]


def test_the_wheel_asks_for_what_requirements_txt_pins(installed: Installed) -> None:
    said = installed.run(
        "python", "-c", "from importlib.metadata import requires; print(*requires('lobass'), sep='\\n')"
    )
    asked = {line.replace("-", "_") for line in said.splitlines() if "extra ==" not in line}
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert asked == {pin.replace("-", "_") for pin in pins if pin and pin[0] != "#"}


def test_what_builds_the_wheel_and_its_extras_are_pinned_as_for_developers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = [pin for pins in project["project"]["optional-dependencies"].values() for pin in pins]
    files = (ROOT / "requirements-dev.txt", ROOT / "bench" / "requirements-lm-eval.txt")
    pinned = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    assert set(project["build-system"]["requires"] + extras) <= set(pinned)


@pytest.fixture(scope="module")
def tried(installed: Installed) -> Installed:
    """After everything on the page for Python was done there: import, training, scoring, selection, export, replay."""
    installed.run("python", "-c", "\n".join(python_blocks(ROOT / "docs" / "python.md")))
    return installed


def test_the_page_for_python_does_what_it_says(tried: Installed) -> None:
    assert len((tried.folder / "again.jsonl").read_text(encoding="utf-8").splitlines()) == 7


def test_the_command_scores_selects_exports_and_reports(tried: Installed) -> None:
    models = ["--base", BASE, "--reference", "mix-ref", "--max-length", 128]
    report = tried.result("score", "--dataset", "mix", *models, "--run", "mix")
    assert report["cached"] == {"base": 15, "reference": 15}
    tried.result("select", "--run", "mix", "--name", "few", "--rows", 4)
    tried.result("export", "--selection", "few", "--output", "few.jsonl")
    assert len((tried.folder / "few.jsonl").read_text(encoding="utf-8").splitlines()) == 4
    written = tried.result("report", "--run", "mix", "--selection", "few")
    assert (tried.folder / "mix.html").stat().st_size == written["bytes"] > 4_000_000


def test_the_demo_finds_its_files(installed: Installed) -> None:
    """Running it takes a minute, and from a checkout it is run by tests/test_demo.py."""
    program = "from lobass.workspace import demo; from lobass.models.resolving import resolve_model; "
    program += "print(demo.DATASET, resolve_model('demo/base', demo.DATASET.parent).path)"
    folder = installed.packages / "lobass" / "demo"
    assert installed.run("python", "-c", program).split() == [str(folder / "dataset.jsonl"), str(folder / "base")]


FIRST_PAGE = """
import sys
from streamlit import config
config._main_script_path = sys.argv[1] + "/app.py"  # as `lobass serve` does
sys.path.insert(0, sys.argv[1])
from streamlit.testing.v1 import AppTest
app = AppTest.from_file(sys.argv[1] + "/pages/data_page.py", default_timeout=300).run()
print([header.value for header in app.header], [at.value for at in (*app.exception, *app.error)])
print({name.partition(".")[0] for name in sys.modules} & {"core", "lobass"})
print(config.get_option("theme.light.primaryColor"))
"""


def test_the_first_page_runs_on_the_installed_package_alone(installed: Installed) -> None:
    said = installed.run("python", "-P", "-c", FIRST_PAGE, installed.packages / "lobass" / "dashboard")
    assert said.splitlines() == ["['Data'] []", "{'core'}", "#0072B2"]


@contextmanager
def served(installed: Installed) -> Iterator[int]:
    """The port at which `lobass serve` serves the dashboard."""
    port = free_port()
    server = installed.start("lobass", "serve", "--workspace", "shown", "--server.port", port)

    def answers() -> bool:
        assert server.poll() is None, server.communicate()
        try:
            with urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    try:
        wait_for(answers, "the dashboard's first answer")
        yield port
    finally:
        server.terminate()
        server.communicate()


def test_the_command_serves_the_dashboard_with_its_own_settings(installed: Installed) -> None:
    with served(installed) as port:
        with urlopen(f"http://127.0.0.1:{port}/data", timeout=300) as page:
            assert b"<title>" in page.read()
        assert handshake(port, f"127.0.0.1:{port}") == 101
        assert handshake(port, "evil.example") == 403
