"""What a command loads before it does anything."""

import subprocess
import sys


def test_commands_start_without_torch_transformers_and_scipy() -> None:
    program = "import sys, core.cli.commands; print(sorted({'torch', 'transformers', 'scipy'} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
