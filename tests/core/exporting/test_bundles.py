"""Bundles: a folder or zip that is whole or not there, with equal bytes for equal selections."""

import hashlib
import json
import resource
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core.data.errors import ExportFailed
from core.data.examples import Example
from core.exporting import TRAINERS, export_bundle, selection_from_manifest
from core.selection import Amount, Selection, save_selection
from core.store import Store
from tests import command_line
from tests.core.bundle_rows import (
    ALL,
    CALLS,
    ONE_SCORED,
    RICH_TEMPLATE,
    SCORED_AFTER_CONTEXT,
    SEVERAL,
    SINGLE,
    THOUGHTS,
    WEATHER,
    Talk,
    example,
    talk_store,
)

OF_ROWS = [name for name, trainer in TRAINERS.items() if not trainer.pair_record]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with talk_store(tmp_path / "workspace", SINGLE) as opened:
        yield opened


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "train.jsonl").read_bytes().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("trainer", OF_ROWS)
def test_a_bundle_has_data_config_command_scores_and_a_manifest_that_knows_every_file(
    store: Store, tmp_path: Path, trainer: str
) -> None:
    report = export_bundle(store, ALL, tmp_path / "out", trainer, "everything")
    files = contents(tmp_path / "out")
    assert {"train.jsonl", "scores.jsonl", "README.txt", "manifest.json"} <= set(files)
    assert TRAINERS[trainer].command in files["README.txt"].decode()
    fields = json.loads(files.pop("manifest.json"))
    assert {file["name"]: file["sha256"] for file in fields["output"]["files"]} == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items()
    }
    assert (fields["selection"], fields["output"]["bundle"], fields["output"]["rows"]) == ("everything", trainer, 4)
    assert report.sha256 == hashlib.sha256(files["train.jsonl"]).hexdigest()
    assert report.rows == files["train.jsonl"].count(b"\n") == 4
    assert selection_from_manifest(report.manifest_path) == ALL


@pytest.mark.parametrize("trainer", OF_ROWS)
def test_equal_selections_give_equal_zips_with_what_the_folder_holds(
    store: Store, tmp_path: Path, trainer: str
) -> None:
    export_bundle(store, ALL, tmp_path / "one", trainer)
    (tmp_path / "elsewhere").mkdir()
    first = export_bundle(store, ALL, tmp_path / "one.zip", trainer)
    again = export_bundle(store, ALL, tmp_path / "elsewhere" / "one.zip", trainer)
    assert first.sha256 == again.sha256 == hashlib.sha256((tmp_path / "one.zip").read_bytes()).hexdigest()
    with zipfile.ZipFile(first.path) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[-1] == "one/manifest.json"
        assert {Path(name).name: archive.read(name) for name in archive.namelist()} == contents(tmp_path / "one")
    beside = json.loads(first.manifest_path.read_text())
    assert (beside["output"]["sha256"], beside["output"]["file"]) == (first.sha256, "one.zip")


def test_data_is_utf8_without_a_mark_one_record_a_line_and_not_escaped(store: Store, tmp_path: Path) -> None:
    export_bundle(store, ALL, tmp_path / "out", "axolotl")
    data = (tmp_path / "out" / "train.jsonl").read_bytes()
    assert data.startswith(b'{"messages"')
    assert "雷克雅未克".encode() in data
    assert len(data.split(b"\n")) == 5
    assert records(tmp_path / "out")[2]["messages"][1]["content"] == "雷克雅未克\u2028是冰岛的\x00首都。😀\n"


def test_scores_lie_beside_the_data_by_line_and_in_no_record(tmp_path: Path) -> None:
    with talk_store(tmp_path / "w", SINGLE) as store:
        export_bundle(store, Selection("talks", amount=Amount("rows", 2)), tmp_path / "out", "llama-factory")
    scores = [json.loads(line) for line in (tmp_path / "out" / "scores.jsonl").read_text().splitlines()]
    assert [(row["line"], row["row_number"], row["token_count"]) for row in scores] == [(1, 1, 10), (2, 2, 10)]
    assert scores[0]["learnability"] == pytest.approx(0.5)
    assert {key for record in records(tmp_path / "out") for key in record} == {"messages", "system", "tools"}


def test_plain_holds_the_original_records_byte_for_byte(tmp_path: Path) -> None:
    originals = [b'{"q" :  1.10, "a": "\\u00e9"}', b'{"q": 2, "extra": [1]}']
    talks = [Talk(talk, original=original) for talk, original in zip(SINGLE, originals, strict=False)]
    with talk_store(tmp_path / "w", talks) as store:
        export_bundle(store, ALL, tmp_path / "out", "plain")
    assert (tmp_path / "out" / "train.jsonl").read_bytes() == b"\n".join(originals) + b"\n"


def test_refused_rows_are_left_out_and_counted_in_manifest_and_readme(tmp_path: Path) -> None:
    broken = example(("user", "One."), ("user", "Two."), ("assistant", "Yes."))
    with talk_store(tmp_path / "w", [broken, *SINGLE]) as store:
        report = export_bundle(store, ALL, tmp_path / "out", "llama-factory")
    assert report.rows == 4
    fields = json.loads(report.manifest_path.read_text())["output"]
    assert [(f["reason"], f["rows"], f["first_rows"]) for f in fields["left_out"]] == [("turns_out_of_order", 1, [1])]
    assert "Skipped:" in (tmp_path / "out" / "README.txt").read_text()
    assert "1 row, because its turns" in " ".join((tmp_path / "out" / "README.txt").read_text().split())


def test_a_bundle_that_would_hold_nothing_is_not_written(tmp_path: Path) -> None:
    with (
        talk_store(tmp_path / "w", [example(("assistant", "Hello."))]) as store,
        pytest.raises(ExportFailed, match="starts with a reply"),
    ):
        export_bundle(store, ALL, tmp_path / "out", "llama-factory")
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_an_older_bundle_is_replaced_whole_and_anything_else_is_left_alone(store: Store, tmp_path: Path) -> None:
    export_bundle(store, ALL, tmp_path / "out", "llama-factory")
    export_bundle(store, ALL, tmp_path / "out", "trl")
    assert set(contents(tmp_path / "out")) == {
        "train.jsonl",
        "scores.jsonl",
        "sft.yaml",
        "README.txt",
        "manifest.json",
    }
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    for place in (mine, mine / "thesis.txt"):
        with pytest.raises(ExportFailed, match="not overwritten"):
            export_bundle(store, ALL, place, "trl")
    assert (mine / "thesis.txt").read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out", "workspace"]


@contextmanager
def disk_full_after(byte_count: int) -> Iterator[None]:
    """No file of this process may grow beyond that size."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (byte_count, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_a_bundle_that_fails_halfway_leaves_the_one_before_it_untouched(
    store: Store, tmp_path: Path, name: str
) -> None:
    report = export_bundle(store, ALL, tmp_path / name, "plain")
    before = report.manifest_path.read_bytes()
    there = {path.name: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()}
    with disk_full_after(300), pytest.raises(ExportFailed, match="cannot be written"):
        export_bundle(store, ALL, tmp_path / name, "llama-factory")
    assert report.manifest_path.read_bytes() == before
    left = {path.name: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()}
    assert left == there


def test_an_unknown_trainer_is_refused_with_the_names_there_are(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="Must be one of: llama-factory, trl, axolotl, plain"):
        export_bundle(store, ALL, tmp_path / "out", "megatron")


def test_trl_never_gets_both_a_prompt_and_messages(tmp_path: Path) -> None:
    for name, talks, keys in (("one", SINGLE, {"prompt", "completion"}), ("more", SEVERAL, {"messages"})):
        with talk_store(tmp_path / f"w-{name}", talks) as store:
            export_bundle(store, ALL, tmp_path / name, "trl")
        assert {frozenset(record) for record in records(tmp_path / name)} == {frozenset(keys)}
        config = (tmp_path / name / "sft.yaml").read_text()
        assert ("assistant_only_loss: true" in config) == (name == "more")


def bundle_of(tmp_path: Path, trainer: str, talks: Sequence[Example], **encoding: str) -> Path:
    with talk_store(tmp_path / f"w-{trainer}", talks, **{"chat_template": RICH_TEMPLATE} | encoding) as store:
        return export_bundle(store, ALL, tmp_path / trainer, trainer).path


def test_a_prompt_with_a_reply_in_it_goes_to_trl_as_prompt_and_completion(tmp_path: Path) -> None:
    folder = bundle_of(tmp_path, "trl", ONE_SCORED)
    assert records(folder)[0] == {
        "prompt": [
            {"role": "user", "content": "Name a sea."},
            {"role": "assistant", "content": "The Alps."},
            {"role": "user", "content": "Again."},
        ],
        "completion": [{"role": "assistant", "content": "The Baltic."}],
    }
    config = (folder / "sft.yaml").read_text()
    assert "completion_only_loss: true" in config
    assert "assistant_only_loss" not in config
    assert (folder / "chat_template.jinja").read_text() == RICH_TEMPLATE
    assert 'chat_template_path: "chat_template.jinja"' in config


def test_where_several_are_scored_after_context_trls_completion_begins_with_the_first_of_them(tmp_path: Path) -> None:
    folder = bundle_of(tmp_path, "trl", SCORED_AFTER_CONTEXT)
    assert [turn["content"] for turn in records(folder)[0]["completion"]] == ["One", "And?", "Two"]
    config = (folder / "sft.yaml").read_text()
    assert "completion_only_loss: true" in config
    assert "assistant_only_loss: true" in config


def test_axolotl_is_told_which_reply_not_to_train_on(tmp_path: Path) -> None:
    folder = bundle_of(tmp_path, "axolotl", ONE_SCORED)
    turns = json.loads(records(folder)[0]["messages"])
    assert [turn.get("train") for turn in turns] == [None, False, None, None]
    assert '"message_field_training": "train"' in (folder / "axolotl.yaml").read_text()
    (tmp_path / "plain").mkdir()
    assert "message_field" not in (bundle_of(tmp_path / "plain", "axolotl", SINGLE) / "axolotl.yaml").read_text()


def test_llama_factory_masks_earlier_replies_only_where_the_last_alone_is_scored_in_every_row(tmp_path: Path) -> None:
    for name, talks, masks in (("all", SEVERAL, False), ("context", ONE_SCORED, True)):
        (tmp_path / name).mkdir()
        config = (bundle_of(tmp_path / name, "llama-factory", talks) / "train.yaml").read_text()
        assert ("mask_history: true" in config) == masks
        # Neither does it drop thoughts then, nor train on one that the template adds empty.
        assert "enable_thinking: null" in config


@pytest.mark.parametrize("trainer", ["trl", "axolotl"])
def test_thoughts_calls_and_answers_have_the_keys_that_the_template_reads(tmp_path: Path, trainer: str) -> None:
    found = []
    for record in records(bundle_of(tmp_path, trainer, [*CALLS, *THOUGHTS])):
        turns = record["messages"]
        found.append(json.loads(turns) if isinstance(turns, str) else turns)
    call = {
        "id": "a1",
        "type": "function",
        "function": {"name": "forecast", "arguments": {"place": "Bergen"}},
    }
    assert found[0][1:3] == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "9", "tool_call_id": "a1", "name": "forecast"},
    ]
    assert found[1][1]["tool_calls"][0]["function"]["arguments"] == {"town": "Lima", "day": None}
    assert found[3][1] == {"role": "assistant", "content": "5", "reasoning_content": "Two and three."}


def test_calls_are_json_in_a_role_of_their_own_for_llama_factory_and_thoughts_stand_inline(tmp_path: Path) -> None:
    found = [record["messages"] for record in records(bundle_of(tmp_path, "llama-factory", [*CALLS, *THOUGHTS]))]
    assert [turn["role"] for turn in found[0]] == ["user", "function_call", "tool", "assistant"]
    assert json.loads(found[0][1]["content"]) == {"name": "forecast", "arguments": {"place": "Bergen"}}
    assert found[1][1]["content"] == (
        'I look.<tool_call>{"name": "forecast", "arguments": {"town": "Lima", "day": null}}</tool_call>'
    )
    assert found[3][1] == {"role": "assistant", "content": "<think>\nTwo and three.\n</think>\n\n5"}


@pytest.mark.parametrize("trainer", ["llama-factory", "trl", "axolotl"])
def test_a_template_without_a_system_role_gets_the_system_prompt_in_the_first_question(
    tmp_path: Path, trainer: str
) -> None:
    template = "{{ raise_exception('System role not supported') }}{% for m in messages %}{{ m.content }}{% endfor %}"
    folder = bundle_of(tmp_path, trainer, [SINGLE[1]], chat_template=template)
    assert "no system role" in " ".join((folder / "README.txt").read_text().split())
    (record,) = records(folder)
    assert record.get("system", "") == ""
    (question, _) = [*record.get("prompt", ()), *record.get("completion", ()), *record.get("messages", ())]
    assert question == {"role": "user", "content": "You are terse.\n\nName a river."}


def test_llama_factorys_entry_names_every_column_and_tag_that_it_reads(store: Store, tmp_path: Path) -> None:
    export_bundle(store, ALL, tmp_path / "out", "llama-factory")
    (entry,) = json.loads((tmp_path / "out" / "dataset_info.json").read_text()).values()
    assert set(entry["columns"]) == {"messages", "system", "tools"}
    assert set(entry["columns"].values()) == {key for record in records(tmp_path / "out") for key in record}
    tags = {f"{name}_tag" for name in ("role", "content", "user", "assistant", "observation", "function", "system")}
    assert set(entry["tags"]) == tags
    assert (tmp_path / "out" / entry["file_name"]).exists()


def test_every_llama_factory_record_alternates_and_ends_with_a_reply(tmp_path: Path) -> None:
    with talk_store(tmp_path / "w", SEVERAL) as store:
        export_bundle(store, ALL, tmp_path / "out", "llama-factory")
    for record in records(tmp_path / "out"):
        roles = [message["role"] for message in record["messages"]]
        assert set(roles[::2]) <= {"user", "tool"}
        assert set(roles[1::2]) == {"assistant"}
        assert len(roles) % 2 == 0


def test_axolotl_guesses_json_from_the_files_name_and_gets_its_fields(store: Store, tmp_path: Path) -> None:
    export_bundle(store, ALL, tmp_path / "out", "axolotl")
    line = next(line for line in (tmp_path / "out" / "axolotl.yaml").read_text().splitlines() if "datasets:" in line)
    (dataset,) = json.loads(line.removeprefix("datasets: "))
    assert not any(word in dataset["path"] for word in (".parquet", ".arrow", ".csv", ".txt"))
    assert (dataset["type"], dataset["field_messages"], dataset["ds_type"]) == ("chat_template", "messages", "json")
    assert (tmp_path / "out" / dataset["path"]).exists()


@pytest.mark.parametrize(("trainer", "none"), [("llama-factory", ""), ("trl", "null"), ("axolotl", "[]")])
def test_tools_are_json_text_and_rows_without_say_so_in_the_trainers_way(
    tmp_path: Path, trainer: str, none: str
) -> None:
    with_tools = example(("user", "Weather?"), ("assistant", "look()"), tools=WEATHER)
    with talk_store(tmp_path / "w", [SINGLE[0], with_tools]) as store:
        export_bundle(store, ALL, tmp_path / "out", trainer)
    first, second = (record["tools"] for record in records(tmp_path / "out"))
    assert first == none
    assert json.loads(second) == json.loads(WEATHER)


def test_the_base_is_named_by_its_hub_id_where_it_has_one(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--owner--tiny" / "snapshots" / "abc"
    with talk_store(tmp_path / "w", SINGLE, model=snapshot) as store:
        run = store.run("talks")
        description = run["description"] | {"models": {"base": {"label": "owner/tiny", "path": str(snapshot)}}}
        sets = dict(store.rows("SELECT role, loss_set_id FROM run_loss"))
        store.save_run("hub", "conversations", sets, description)
        export_bundle(store, Selection("hub", amount=Amount("ratio", 1.0)), tmp_path / "out", "trl")
        export_bundle(store, ALL, tmp_path / "local", "trl")
    assert 'model_name_or_path: "owner/tiny"' in (tmp_path / "out" / "sft.yaml").read_text()
    assert f'model_name_or_path: "{snapshot}"' in (tmp_path / "local" / "sft.yaml").read_text()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A workspace with the selection "all" saved, of five rows of which LLaMA-Factory refuses one."""
    broken = example(("user", "One."), ("user", "Two."), ("assistant", "Yes."))
    with talk_store(tmp_path / "workspace", [*SINGLE, broken]) as store:
        save_selection(store, "all", ALL)
    return tmp_path / "workspace"


def test_the_command_line_writes_a_bundle_with_controls_and_says_what_it_left_out(saved: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.zip"
    options = ("--selection", "all", "--output", output, "--bundle", "llama-factory", "--controls", 2)
    found = command_line.result(saved, "export", *options)
    assert (found["rows"], found["bundle"], found["left_out"]) == (4, "llama-factory", {"turns_out_of_order": 1})
    assert found["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    assert Path(found["manifest"]).exists()
    assert found["controls"]["index"] == str(tmp_path / "out.zip.controls" / "controls.json")
    assert len(found["controls"]["files"]) == 7


def test_the_command_line_refuses_options_that_a_bundle_has_no_use_for(saved: Path, tmp_path: Path) -> None:
    options = ("export", "--selection", "all", "--output", tmp_path / "out")
    assert command_line.run(saved, *options, "--bundle", "trl", "--with-scores").returncode == 2
    wrong = command_line.run(saved, *options, "--bundle", "megatron")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "Must be one of: llama-factory, trl, axolotl, plain" in wrong.stderr


def test_controls_of_a_plain_export_have_its_format(saved: Path, tmp_path: Path) -> None:
    found = command_line.result(saved, "export", "--selection", "all", "--output", tmp_path / "o.csv", "--controls", 1)
    assert [control["file"] for control in found["controls"]["files"]][:2] == ["random-1.csv", "random-by-domain-1.csv"]
