"""A push to a Hub on localhost, by the real command: what arrives, what survives, what is refused in one sentence."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from core.data.errors import ExportFailed
from core.exporting import HubTarget, export_selection, push_export
from core.exporting.dataset_card import CardFacts, dataset_card
from core.selection import Amount, Selection, save_selection
from core.store import Store
from tests import command_line
from tests.fake_hub import FakeHub, fake_hub
from tests.fakes import ScoredRecord, build_scored_store

TOKEN = "hf_secretOfTheTest"
ROWS = [ScoredRecord("chat" if i % 2 else "math<!-- lobass:end -->|x", 2.0, i / 10) for i in range(10)]
HALF = Selection("planets", scope="pooled", amount=Amount("ratio", 0.5))
CARD = """---
# a comment of the owner
license: cc-by-4.0   # chosen with care
pretty_name: 'Ours'
---

# Ours

Text that the owner wrote,\r
with a line end of its own.
"""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as running:
        yield running


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    with build_scored_store(tmp_path / "workspace", ROWS) as store:
        save_selection(store, "half", HALF)
    return tmp_path / "workspace"


def push(
    hub: FakeHub, workspace: Path, *options: str, output: str = "half.jsonl", **environment: str
) -> CompletedProcess[str]:
    """`export --push owner/curated --json`, with a token."""
    place = workspace.parent / output
    token = {"HF_TOKEN": TOKEN, "HF_HOME": str(workspace.parent / "hf"), "HF_HUB_OFFLINE": "0"}
    return command_line.run(
        workspace, "export", "--selection", "half", "--output", place, "--push", "owner/curated", "--json", *options,
        HF_ENDPOINT=hub.endpoint, NO_PROXY="127.0.0.1", **token | environment,
    )  # fmt: skip


def test_what_was_written_arrives_in_one_commit_in_a_private_dataset(hub: FakeHub, workspace: Path) -> None:
    done = push(hub, workspace, "--licence", "apache-2.0")
    assert done.returncode == 0, done.stderr
    (commit,) = hub.commits
    assert hub.private
    written = workspace.parent / "half.jsonl"
    assert commit["files"]["train.jsonl"] == written.read_bytes()
    assert commit["files"]["manifest.json"] == written.with_name("half.jsonl.manifest.json").read_bytes()
    assert set(commit["files"]) == {"train.jsonl", "manifest.json", "README.md"}
    said = json.loads(done.stdout)["push"]
    assert said["url"] == f"{hub.endpoint}/datasets/owner/curated"
    assert (said["private"], said["commit"]) == (True, "a" * 40)
    assert "Committing" in done.stderr


def test_the_card_has_recipe_counts_evidence_and_licence(hub: FakeHub, workspace: Path) -> None:
    assert push(hub, workspace, "--licence", "apache-2.0").returncode == 0
    card = hub.branches["main"]["README.md"].decode()
    fields = yaml.safe_load(card.split("---")[1])
    assert (fields["license"], fields["size_categories"]) == ("apache-2.0", ["n<1K"])
    assert fields["configs"][0]["data_files"] == [{"split": "train", "path": "train.jsonl"}]
    assert "5 of the 10 rows of the dataset space (50 of 100 scored tokens)" in card
    assert "| chat | 5 | 2 | 50 | 20 |" in card
    assert "Does it beat random? No trial has compared this selection" in card
    assert '"value": 0.5' in card
    assert card.count("<!-- lobass:end -->") == 1  # the domain's name does not end our part


def test_an_existing_card_keeps_its_fields_and_text_and_ours_is_replaced(hub: FakeHub, workspace: Path) -> None:
    hub.exists = True
    hub.branches["main"]["README.md"] = CARD.encode()
    done = push(hub, workspace, "--licence", "apache-2.0")
    assert done.returncode == 0, done.stderr
    assert "another licence, which was kept" in done.stderr
    card = hub.branches["main"]["README.md"].decode()
    front, body = CARD.removesuffix("\n").split("---\n")[1:]
    assert card.startswith(f"---\n{front}")
    assert body in card
    assert push(hub, workspace).returncode == 0
    again = hub.branches["main"]["README.md"].decode()
    assert again == card
    assert len(hub.commits) == 2


def test_a_bundle_arrives_as_files_whatever_it_was_packed_in(hub: FakeHub, workspace: Path) -> None:
    done = push(hub, workspace, "--bundle", "trl", output="half.zip")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(workspace.parent / "half.zip") as archive:
        packed = {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist()}
    assert {name: data for name, data in hub.commits[0]["files"].items() if name != "README.md"} == packed
    assert [path.name for path in workspace.parent.iterdir() if path.is_dir()] == ["workspace"]


def test_a_pull_request_and_a_branch_are_asked_for(hub: FakeHub, workspace: Path) -> None:
    done = push(hub, workspace, "--pull-request")
    assert json.loads(done.stdout)["push"]["url"].endswith("/discussions/1")
    assert hub.commits[0]["query"] == "create_pr=1"
    assert push(hub, workspace, "--revision", "v2").returncode == 0
    assert (hub.commits[1]["branch"], sorted(hub.branches)) == ("v2", ["main", "v2"])
    refused = push(hub, workspace, "--pull-request", "--revision", "v2")
    assert (refused.returncode, "to the main branch only" in refused.stderr) == (1, True)
    assert len(hub.commits) == 2


def test_nothing_is_pushed_to_a_public_dataset_unless_that_is_asked_for(hub: FakeHub, workspace: Path) -> None:
    hub.exists, hub.private = True, False
    refused = push(hub, workspace)
    assert (refused.returncode, "is public, so everyone could read" in refused.stderr) == (1, True)
    assert hub.commits == []
    assert push(hub, workspace, "--public").returncode == 0


@pytest.mark.parametrize(
    ("refused", "sentence"),
    [
        ({"/api/repos/create": 401, "/api/datasets": 401}, "does not accept the token"),
        ({"/commit/": 403}, "The token may not write to the dataset owner/curated."),
        ({"/api/repos/create": 403}, "The token may not write to the dataset owner/curated."),
        ({"/api/repos/create": 404}, "There is no dataset owner/curated on"),
        ({"/commit/": 409}, "was changed during the push, so nothing was pushed."),
        ({"/commit/": 412}, "was changed during the push, so nothing was pushed."),
        ({"/commit/": 500}, "refused the push with status 500"),
    ],
)  # fmt: skip
def test_what_the_hub_refuses_is_one_sentence_and_changes_nothing(
    hub: FakeHub, workspace: Path, monkeypatch: pytest.MonkeyPatch, refused: dict[str, int], sentence: str
) -> None:
    for name, value in {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    hub.refused = refused
    with Store.open(workspace, "a test") as store:
        written = export_selection(store, HALF, workspace.parent / "half.jsonl")
    with pytest.raises(ExportFailed, match=sentence) as error:
        push_export(written, HubTarget("owner/curated"))
    assert TOKEN not in str(error.value)
    assert (hub.commits, hub.branches) == ([], {"main": {}})


def test_the_token_is_in_the_authorization_header_alone(hub: FakeHub, workspace: Path) -> None:
    hub.exists = True
    hub.branches["main"]["README.md"] = CARD.encode()
    done = push(hub, workspace)
    hub.refused = {"/commit/": 403}
    refused = push(hub, workspace)
    assert (done.returncode, refused.returncode) == (0, 1)
    assert refused.stderr.splitlines()[-1].startswith("The token may not write to the dataset owner/curated.")
    assert "Traceback" not in refused.stderr
    for request in hub.requests:
        headers = {name.lower(): value for name, value in request.headers.items()}
        sent = headers.pop("authorization", None)
        # The library's own question about programs on this machine goes without.
        assert sent == (None if request.path == "/api/agent-harnesses" else f"Bearer {TOKEN}")
        assert TOKEN not in f"{request.path} {headers} {request.body!r}"
    outputs = (done.stdout, done.stderr, refused.stdout, refused.stderr)
    assert not any(TOKEN in output for output in outputs)
    written = [path for path in workspace.parent.rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in path.read_bytes() for path in written)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"HF_TOKEN": ""}, "No Hugging Face token is set."),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached (ConnectError), so nothing was pushed."),
    ],
)
def test_without_token_network_or_leave_nothing_is_sent(
    hub: FakeHub, workspace: Path, environment: dict[str, str], sentence: str
) -> None:
    silent = FakeHub(endpoint=environment.pop("HF_ENDPOINT", hub.endpoint))
    done = push(silent, workspace, **environment)
    assert (done.returncode, sentence in done.stderr, hub.requests) == (1, True, [])


def test_options_of_a_push_without_one_are_wrong_usage(workspace: Path) -> None:
    place = workspace.parent / "half.jsonl"
    done = command_line.run(workspace, "export", "--selection", "half", "--output", place, "--public")
    assert (done.returncode, place.exists()) == (2, False)


FACTS = CardFacts(
    {
        "selection": "top",
        "recipe": {"note": "x" * 10},
        "output": {"rows": 5, "format": "jsonl"},
        "result": {"kept_rows": 5, "kept_tokens": 50, "domains": []},
        "run": {"name": "planets", "reference_kind": {"sentence": "Unknown"}},
        "dataset": {
            "name": "space",
            "sources": [{"name": "a.jsonl", "rows": 1, "options": {"origin": {"hub": "a/b"}}}],
        },
    },
    "train.csv",
)  # fmt: skip


@pytest.mark.parametrize("card", ["---\n[a\n---\n", "---\n- a\n---\n", "---\n{license: mit}\n---\n"])
def test_fields_that_cannot_be_kept_are_refused(card: str) -> None:
    with pytest.raises(ExportFailed, match="cannot be kept"):
        dataset_card(card, FACTS)


def test_text_after_a_lost_end_of_our_part_stays() -> None:
    text = "<!-- lobass:begin -->\nold\n\nwritten since\n"
    once = dataset_card(text, FACTS).text
    twice = dataset_card(once, FACTS).text
    assert "written since" in twice
    assert once == twice


def test_configs_of_the_owner_that_name_another_file_are_kept_and_said() -> None:
    card = dataset_card("---\nconfigs:\n- config_name: x\n  data_files: a.csv\n---\nhi\n", FACTS)
    assert "do not name train.csv" in card.notices[0]
    assert yaml.safe_load(card.text.split("---")[1])["source_datasets"] == ["a/b"]
