"""JSON from outside: whatever is wrong with it becomes one sentence."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.data.errors import JsonInvalid, SettingInvalid
from core.data.json_types import checked
from core.system.untrusted_json import LARGEST, parse_json, parse_json_object, read_json, read_json_object


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b'{"state": "do', "not valid JSON"),
        (b"\x00" * 40, "not valid JSON"),
        (b"\xff\xfe{}", "not valid JSON"),
        (b'{"a": NaN}', "not valid JSON"),
        (b'{"a": Infinity}', "not valid JSON"),
        (b'{"a": 1e400}', "not valid JSON"),
        (b'{"a": 1' + b"0" * 400 + b"}", "not valid JSON"),
        (b'{"a": "\\ud800"}', "not valid JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "not valid JSON"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "not valid JSON"),
        (b"[" + b"{}," * 600_000 + b"{}]", "1,200,002 parts"),
        (b" " * (LARGEST + 1), "larger than 64 MB"),
        (b"[1, 2]", "not a JSON object but a list"),
        (b"null", "not a JSON object but null"),
        (b"true", "not a JSON object but a boolean"),
    ],
)
def test_a_text_that_is_no_json_object_gives_one_sentence(tmp_path: Path, text: bytes, reason: str) -> None:
    path = tmp_path / "outcome.json"
    path.write_bytes(text)
    for read in (lambda: read_json_object(path), lambda: parse_json_object(text, str(path))):
        with pytest.raises(JsonInvalid) as raised:
            read()
        assert str(raised.value).startswith(f"{path} is ") or str(raised.value).startswith(f"{path} has ")
        assert reason in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_lone_surrogate_in_a_text_gives_one_sentence() -> None:
    with pytest.raises(JsonInvalid, match="not valid Unicode"):
        parse_json('{"a": "\ud800"}', "The link")


def test_a_missing_file_is_told_from_a_bad_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")
    with pytest.raises(JsonInvalid, match="not a regular file"):
        read_json(tmp_path)


def test_objects_that_would_fill_the_memory_are_refused_before_they_are_made(tmp_path: Path) -> None:
    path = tmp_path / "bomb.json"
    path.write_bytes(b"[" + b"{}," * 20_000_000 + b"{}]")
    program = (
        "import sys, resource, pathlib\n"
        "from core.data.errors import JsonInvalid\n"
        "from core.system.untrusted_json import read_json\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    read_json(pathlib.Path(sys.argv[1]))\n"
        "except JsonInvalid:\n    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    grown = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(grown.stdout) * unit < 150 * 2**20  # twice the text; parsed it would be 1.7 GB


@dataclass(frozen=True)
class _Amount:
    kind: str
    value: float
    rows: int = 0
    most: float | None = None

    def __post_init__(self) -> None:
        if self.value < 0:
            raise SettingInvalid("less than nothing")


def test_fields_that_fit_become_the_dataclass() -> None:
    assert checked({"kind": "ratio", "value": 0.5}, _Amount, "The amount") == _Amount("ratio", 0.5)
    assert checked(parse_json(b"[1, 2]", "x"), tuple[int, ...], "x") == (1, 2)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"kind": "ratio", "value": "0.5"}, "value"),
        ({"kind": "ratio", "value": True}, "value"),
        ({"kind": ["ratio"], "value": 0.5}, "kind"),
        ({"kind": "ratio", "value": 0.5, "rows": 1.5}, "rows"),
        ({"kind": "ratio", "value": 0.5, "more": 1}, "more"),
        ({"kind": "ratio"}, "value"),
        ({"kind": "ratio", "value": float("nan")}, "value"),
        ({"kind": "ratio", "value": 0.5, "most": float("nan")}, "it is no JSON"),  # to orjson it is null
        (["ratio", 0.5], ""),
    ],
)
def test_fields_that_do_not_fit_are_named(fields: object, place: str) -> None:
    with pytest.raises(JsonInvalid, match=rf"The amount cannot be used: {place}"):
        checked(fields, _Amount, "The amount")


def test_a_types_own_refusal_passes_through() -> None:
    with pytest.raises(SettingInvalid):
        checked({"kind": "ratio", "value": -1.0}, _Amount, "The amount")
