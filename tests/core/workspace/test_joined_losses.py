"""Loss bundles of several sites give the ranking that scoring their rows in one place gives, and carry no text."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from core.cli.commands import app
from core.exporting.loss_bundles import SharedKey, bundle_bytes, read_bundle, read_key
from core.store import Store
from core.workspace.joined_losses import write_loss_bundle
from core.workspace.loss_table import loss_table
from core.workspace.score_imports import import_scores
from tests.fakes import ScoredRecord, add_scored_records

RANDOM = np.random.default_rng(5)
ROWS = [
    ScoredRecord("chat" if n % 3 else "maths", base, base * (1 - share), 5 + n % 7, f"a secret answer {n}")
    for n, (base, share) in enumerate(zip(RANDOM.uniform(0.5, 3, 60), RANDOM.normal(0.2, 0.2, 60), strict=True))
]
SITES = {"north": ROWS[:25], "south": ROWS[25:40], "west": ROWS[40:]}
COPIES = [*ROWS[:3], ROWS[0], ScoredRecord("chat", None, None, response="never scored")]
ELSEWHERE = [ScoredRecord("chat", 1.0, 0.5, response="elsewhere")]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle of each site and of their union, the key, and a workspace with a dataset and a run for
    each, as if they were apart."""
    folder = tmp_path_factory.mktemp("sites")
    (folder / "key").write_text("0123456789abcdef0123456789abcdef\n")
    with Store.open(folder / "work", "a test") as store:
        for name, rows in {**SITES, "union": ROWS, "copies": COPIES, "elsewhere": ELSEWHERE}.items():
            add_scored_records(store, rows, name, f"data of {name}", f"{name}.jsonl")
            write_loss_bundle(store, name, read_key(folder / "key"), folder / f"{name}.losses")
    return folder


@pytest.fixture(scope="module")
def union(sites: Path) -> pa.Table:
    """The losses and scores of the union, as scored in one place."""
    with Store.open(sites / "work", "a test") as store:
        return loss_table(store, "union", all_scores=True)


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def merged(folder: Path, output: Path, names: list[str], *options: object) -> Result:
    paths = [folder / f"{name}.losses" for name in names]
    return command(
        "merge", *paths, "--key", folder / "key", "--output", output, "--workspace", folder / "work", *options
    )


def copied(sites: Path, folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes((sites / name).read_bytes())


@pytest.mark.parametrize("score", ["learnability", "loss_difference", "implicit_reward"])
def test_bundles_of_sites_give_the_very_file_that_the_union_gives(sites: Path, tmp_path: Path, score: str) -> None:
    for names in (["union"], ["north", "south", "west"], ["west", "north", "south"]):
        done = merged(sites, tmp_path / f"{names[0]}.parquet", names, "--score", score)
        assert done.exit_code == 0, done.output
    expected = (tmp_path / "union.parquet").read_bytes()
    assert (tmp_path / "north.parquet").read_bytes() == expected
    assert (tmp_path / "west.parquet").read_bytes() == expected


def test_the_merged_ranking_is_that_of_the_union_scored_in_one_place(
    sites: Path, union: pa.Table, tmp_path: Path
) -> None:
    merged(sites, tmp_path / "all.parquet", list(SITES))
    found = pq.read_table(tmp_path / "all.parquet")
    expected = union.sort_by([("learnability", "descending")])
    for column in ("learnability", "loss_difference", "implicit_reward", "base_loss", "token_count"):
        assert found[column].to_pylist() == expected[column].to_pylist()  # bit for bit
    assert found["quantile_in_domain"].to_pylist() == expected["learnability_quantile"].to_pylist()
    assert found["rank"].to_pylist() == list(range(1, 61))


def test_a_site_imports_where_its_rows_stand_in_the_union(sites: Path, union: pa.Table, tmp_path: Path) -> None:
    work = ("--workspace", sites / "work")
    again = command("bundle", "losses", "--run", "south", "--key", sites / "key", "--output", tmp_path / "again", *work)
    assert again.output == f"15 rows written to {tmp_path / 'again'}; 0 have no loss.\n"
    assert (tmp_path / "again").read_bytes() == (sites / "south.losses").read_bytes()
    done = merged(sites, tmp_path / "own.csv", list(SITES), "--run", "south")
    assert done.output == f"60 rows of 3 bundles ranked by learnability; 15 written to {tmp_path / 'own.csv'}\n"
    expected = {row["example_id"]: row["learnability_quantile"] for row in union.to_pylist()}
    with Store.open(sites / "work", "a test") as store:
        (score,) = import_scores(store, "data of south", tmp_path / "own.csv", "example-id", ["quantile_in_domain"])
        assert (score.rows, score.rows_without) == (15, 0)
        for row in loss_table(store, "south", all_scores=True).to_pylist():
            assert row["imported_quantile_in_domain"] == expected[row["example_id"]]


def test_a_bundle_has_no_text_no_domain_and_no_id(sites: Path, union: pa.Table) -> None:
    content = (sites / "union.losses").read_bytes()
    keys = read_bundle(sites / "union.losses", read_key(sites / "key")).table["row_key"].to_pylist()
    header = json.loads(content.partition(b"\n")[0])
    assert set(header) == {
        "format", "version", "base", "reference", "encoding", "rows", "rows_without_loss", "key", "signature"
    }  # fmt: skip
    assert keys == sorted(keys)  # not in the order of the data
    ids = [bytes.fromhex(example_id.replace("-", "")) for example_id in union["example_id"].to_pylist()]
    texts = [b"secret", b"answer", b"chat", b"maths", b"union", b"data of", *ids]
    assert [text for text in texts if text in content] == []


def test_copies_are_one_row_and_rows_without_a_loss_are_counted(sites: Path) -> None:
    bundle = read_bundle(sites / "copies.losses", read_key(sites / "key"))
    assert (bundle.table.num_rows, bundle.rows_without_loss) == (3, 1)


def test_rows_that_two_sites_share_are_refused_or_ranked_once(sites: Path, tmp_path: Path) -> None:
    done = merged(sites, tmp_path / "out.csv", ["north", "union"])
    assert done.exit_code == 1
    assert "25 rows stand in north.losses and in union.losses, such as" in done.output
    assert not (tmp_path / "out.csv").exists()
    merged(sites, tmp_path / "once.csv", ["north", "union"], "--once")
    merged(sites, tmp_path / "union.csv", ["union"])
    assert (tmp_path / "once.csv").read_bytes() == (tmp_path / "union.csv").read_bytes()


def _altered(content: bytes) -> bytes:
    return content[:-200] + bytes([content[-200] ^ 1]) + content[-199:]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_altered, "south.losses was altered or is cut short after it was signed. Ask for it again."),
        (lambda content: content[:-1], "was altered or is cut short"),
        (lambda content: content[:30], "is no loss bundle. Make one with bundle losses."),
        (lambda content: content.replace(b'"rows": 15', b'"rows": 14'), "was altered or is cut short"),
        (lambda content: content.replace(b'"version": 1', b'"version": 2'), "of version 2, and this program reads"),
        (lambda content: b"", "is no loss bundle"),
        (lambda content: b"\xff" * 5000, "is no loss bundle"),
    ],
)
def test_a_damaged_bundle_is_one_sentence_and_nothing_is_written(
    sites: Path, tmp_path: Path, change: Callable[[bytes], bytes], sentence: str
) -> None:
    copied(sites, tmp_path, "key", "north.losses")
    (tmp_path / "south.losses").write_bytes(change((sites / "south.losses").read_bytes()))
    done = merged(tmp_path, tmp_path / "out.csv", ["north", "south"])
    assert done.exit_code == 1
    assert sentence in done.output
    assert len(done.output.splitlines()) == 1
    assert not (tmp_path / "out.csv").exists()


def test_a_wrong_or_short_key_is_one_sentence(sites: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("another secret of many bytes")
    copied(sites, tmp_path, "north.losses")
    done = merged(tmp_path, tmp_path / "out.csv", ["north"])
    assert done.output == "north.losses was signed with another key. Give the key that its site used.\n"
    (tmp_path / "key").write_text("short\n")
    done = merged(tmp_path, tmp_path / "out.csv", ["north"])
    assert "The key in key has 5 bytes, and needs 16 or more. Make one with: openssl rand -hex 32" in done.output
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("name", ["base", "reference", "encoding"])
def test_a_bundle_of_other_models_or_another_encoding_is_refused(sites: Path, tmp_path: Path, name: str) -> None:
    key = read_key(sites / "key")
    bundle = read_bundle(sites / "south.losses", key)
    other = type(bundle)({**bundle.fingerprints, name: "0" * 32}, 0, bundle.table)
    copied(sites, tmp_path, "key", "north.losses")
    (tmp_path / "south.losses").write_bytes(bundle_bytes(other, key))
    done = merged(tmp_path, tmp_path / "out.csv", ["north", "south"])
    assert done.exit_code == 1
    assert f"south.losses is of another {name} than north.losses (000000000000 and" in done.output
    assert not (tmp_path / "out.csv").exists()


def test_a_signed_table_with_a_row_twice_or_a_loss_that_is_no_number_is_refused(sites: Path, tmp_path: Path) -> None:
    key = read_key(sites / "key")
    bundle = read_bundle(sites / "north.losses", key)
    doubled = bundle.table.take([0, 0])
    infinite = bundle.table.set_column(3, "base_nll_sum", [[float("inf")] * bundle.table.num_rows])
    copied(sites, tmp_path, "key")
    for table in (doubled, infinite):
        (tmp_path / "north.losses").write_bytes(bundle_bytes(type(bundle)(bundle.fingerprints, 0, table), key))
        assert (
            "holds a table that this program does not write" in merged(tmp_path, tmp_path / "o.csv", ["north"]).output
        )


def test_rows_and_domains_of_one_text_have_different_names_and_other_keys_give_others() -> None:
    one, two = SharedKey(b"1" * 16), SharedKey(b"2" * 16)
    assert len({key.name(purpose, "chat") for key in (one, two) for purpose in ("row", "domain")}) == 4


def test_a_run_that_has_no_row_in_the_bundles_is_refused(sites: Path, tmp_path: Path) -> None:
    done = merged(sites, tmp_path / "own.csv", ["north"], "--run", "elsewhere")
    assert "No row of the run 'elsewhere' is in these bundles. Make its bundle and give it too." in done.output
    assert not (tmp_path / "own.csv").exists()
