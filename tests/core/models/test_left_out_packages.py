"""What a worker leaves out of its imports, by its job's request."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
_PLAIN = {"label": "base", "path": "/base"}
_QUANTIZED = {**_PLAIN, "quantization": "nf4"}
_SAYS = """
import json, sys
from importlib.util import find_spec
before = find_spec("bitsandbytes") is not None
from core.models.left_out_packages import leave_out_packages
leave_out_packages(json.loads(sys.argv[1]))
print(json.dumps([before, find_spec("bitsandbytes") is not None, find_spec("datasets") is not None]))
"""


@pytest.mark.parametrize(
    ("request_fields", "needs_it"),
    [
        ({"kind": "score", "parts": [{"role": "base", "model": _PLAIN}]}, False),
        ({"kind": "train", "base": _PLAIN, "then": [{"kind": "score", "quantization": None}]}, False),
        ({"kind": "score", "parts": [{"role": "base", "model": _QUANTIZED}]}, True),
    ],
)
def test_the_quantizing_library_is_there_only_for_jobs_that_quantize(
    request_fields: dict[str, Any], needs_it: bool
) -> None:
    command = [sys.executable, "-c", _SAYS, json.dumps(request_fields)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    is_installed, is_there, datasets_is_there = json.loads(done.stdout)
    assert is_there == (is_installed and needs_it)
    assert not datasets_is_there
