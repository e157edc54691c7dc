"""The store: one owner, rows and losses that nothing loses or counts twice, and files it must not touch."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from core.data.errors import NameTaken, NotFound, StoreUnusable, WorkspaceLocked
from core.data.examples import DatasetRow, Example, Message, Rejected
from core.jobs.shards import SHARD_SCHEMA
from core.store import STORE_VERSION, Store, remove_recipe, save_recipe, saved_recipe
from core.system.ownership import is_locked

ROOT = Path(__file__).resolve().parents[3]
OPEN_STORE = """
import sys
from pathlib import Path
from core.data.errors import UserError
from core.store import Store
try:
    store = Store.open(Path(sys.argv[1]), "the other program")
except UserError as error:
    sys.exit(f"{type(error).__name__}: {error}")
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


@pytest.fixture
def store(workspace: Path) -> Iterator[Store]:
    with Store.open(workspace, "the dashboard") as opened:
        yield opened


def row(line: int, answer: str, domain: str = "chat") -> DatasetRow:
    example = Example((Message("user", "Which planet?"), Message("assistant", answer)))
    return DatasetRow(line, domain, example, f'{{"answer": "{answer}"}}'.encode())


PLANETS = (row(1, "Mars"), row(2, "Venus", "math"), row(3, "Mars"))
"""Three rows of two conversations."""


def add(store: Store, *records: DatasetRow | Rejected, sha256: str = "first file", dataset: str = "planets") -> int:
    return store.add_source(dataset, "planets.jsonl", "jsonl", sha256, {"domain": "chat"}, records or PLANETS)


def losses_of(**nll_sums: float | None) -> pa.Table:
    """Losses of the conversations that were answered so, ten tokens each."""
    return pa.table(
        {
            "example_id": [str(row(1, answer).example.example_id) for answer in nll_sums],
            "nll_sum": list(nll_sums.values()),
            "token_count": [10] * len(nll_sums),
            "truncated": [False] * len(nll_sums),
            "reason": [None] * len(nll_sums),
            "left_out": [0.0] * len(nll_sums),
            "end_nll_sum": [None] * len(nll_sums),
            "end_token_count": [None] * len(nll_sums),
        },
        schema=SHARD_SCHEMA,
    )


def score(store: Store, run: str = "first") -> tuple[int, int]:
    """Losses of Mars and Venus under both models, and a run of them; returns both loss sets."""
    sets = [store.ensure_loss_set(f"{model} weights", "encoding", model) for model in ("base", "reference")]
    for number, loss_set in enumerate(sets):
        store.ingest_shard(f"shard-{loss_set}", loss_set, losses_of(Mars=20.0 - 5 * number, Venus=10.0 - 9 * number))
    store.save_run(run, "planets", {"base": sets[0], "reference": sets[1]}, {"base": "base"})
    return sets[0], sets[1]


# One owner


def test_a_second_process_is_refused_and_told_who_holds_the_workspace(store: Store, workspace: Path) -> None:
    other = subprocess.run(
        [sys.executable, "-c", OPEN_STORE, str(workspace)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        input="",
        check=False,
    )
    assert other.returncode == 1
    assert other.stderr.startswith(f"WorkspaceLocked: The workspace {workspace} is in use by the dashboard (process ")
    assert "choose another --workspace" in other.stderr
    add(store)
    assert store.rows("SELECT count(*) FROM dataset_row") == [(3,)]


def test_a_process_that_was_killed_holds_nothing(workspace: Path) -> None:
    command = [sys.executable, "-c", OPEN_STORE, str(workspace)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(WorkspaceLocked, match="in use by the other program"):
            Store.open(workspace, "the dashboard")
        other.kill()
        other.wait()
    with Store.open(workspace, "the dashboard") as store:
        add(store)


def test_a_workspace_is_locked_just_while_it_is_open(workspace: Path) -> None:
    lock = workspace / "store.lock"
    assert not is_locked(lock)
    with Store.open(workspace, "the dashboard"):
        assert is_locked(lock)
    assert not is_locked(lock)
    with Store.open(workspace, "the command line"):
        assert "the command line" in lock.read_text(encoding="utf-8")
        assert "the dashboard" not in lock.read_text(encoding="utf-8")


def test_a_workspace_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreUnusable, match=r"is not writable \(.*\)\. Choose another with --workspace"):
        Store.open(tmp_path / "file" / "workspace", "the dashboard")


def test_what_was_written_is_there_when_the_store_opens_again(workspace: Path) -> None:
    with Store.open(workspace, "the dashboard") as store:
        add(store)
    with Store.open(workspace, "the dashboard") as store:
        assert store.rows("SELECT count(*) FROM dataset_row") == [(3,)]
        assert store.rows("SELECT version FROM store_version") == [(STORE_VERSION,)]


# Files that are not ours to touch


@pytest.mark.parametrize("content", [b"this is no database" * 1000, b"x"])
def test_a_damaged_store_is_refused_and_left_as_it_was(workspace: Path, content: bytes) -> None:
    workspace.mkdir()
    (workspace / "store.duckdb").write_bytes(content)
    with pytest.raises(StoreUnusable, match=r"cannot be opened .* Nothing was changed; restore a backup"):
        Store.open(workspace, "the dashboard")
    assert (workspace / "store.duckdb").read_bytes() == content
    assert not is_locked(workspace / "store.lock")


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_a_store_that_lost_its_end_is_refused_and_left_as_it_was(workspace: Path, share: float) -> None:
    with Store.open(workspace, "the dashboard") as store:
        add(store, *(row(line, f"planet {line}") for line in range(5000)))
    path = workspace / "store.duckdb"
    kept = path.read_bytes()[: int(path.stat().st_size * share)]
    path.write_bytes(kept)
    with pytest.raises(StoreUnusable, match="cannot be opened"):
        Store.open(workspace, "the dashboard").close()
    assert path.read_bytes() == kept


@pytest.mark.parametrize("version", [STORE_VERSION + 1, 0])
def test_a_store_of_another_version_is_refused_and_left_as_it_was(workspace: Path, version: int) -> None:
    with Store.open(workspace, "the dashboard") as store:
        add(store)
    path = workspace / "store.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE store_version SET version = ?", [version])
    before = path.read_bytes()
    with pytest.raises(StoreUnusable, match=rf"has version {version}; this program reads version {STORE_VERSION}\."):
        Store.open(workspace, "the dashboard")
    assert path.read_bytes() == before
    assert not is_locked(workspace / "store.lock")


def test_a_database_of_another_program_is_refused_and_left_as_it_was(workspace: Path) -> None:
    workspace.mkdir()
    path = workspace / "store.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE taxes (amount INTEGER)")
    before = path.read_bytes()
    with pytest.raises(StoreUnusable):
        Store.open(workspace, "the dashboard")
    assert path.read_bytes() == before


# Datasets


def test_the_same_file_imported_twice_adds_nothing(store: Store) -> None:
    assert add(store) == add(store)
    assert store.rows("SELECT count(*) FROM dataset_row") == [(3,)]
    assert store.rows("SELECT count(*) FROM source") == [(1,)]


def test_two_files_of_a_dataset_are_numbered_through(store: Store) -> None:
    add(store)
    add(store, row(1, "Pluto"), sha256="second file")
    found = store.rows("SELECT row_number, line FROM dataset_row ORDER BY row_number")
    assert found == [(1, 1), (2, 2), (3, 3), (4, 1)]


def test_a_conversation_is_kept_once_and_each_row_of_it_byte_for_byte(store: Store) -> None:
    again = replace(row(4, "Mars"), original=b'{ "answer":"Mars" ,"n":1}\xff')
    add(store, *PLANETS, again)
    assert store.rows("SELECT count(*) FROM example") == [(2,)]
    originals = [original for (original,) in store.rows("SELECT original FROM dataset_row ORDER BY row_number")]
    assert originals == [*(record.original for record in PLANETS), again.original]


def test_rejections_are_kept_with_line_and_reason(store: Store) -> None:
    add(store, row(1, "Mars"), Rejected(2, "bad JSON", "found {"), Rejected(3, "empty response"))
    found = store.rows("SELECT line, reason, detail FROM rejection ORDER BY line")
    assert found == [(2, "bad JSON", "found {"), (3, "empty response", "")]
    assert store.rows("SELECT row_count, rejected_count FROM source") == [(1, 2)]


def test_an_import_that_fails_midway_leaves_nothing(store: Store) -> None:
    def records() -> Iterator[DatasetRow]:
        for line in range(25_000):  # more than one batch of inserts
            yield row(line, f"planet {line}")
        raise OSError("the disk was pulled out")

    with pytest.raises(OSError, match="pulled out"):
        store.add_source("planets", "planets.jsonl", "jsonl", "file", {}, records())
    for table in ("dataset", "source", "dataset_row", "example"):
        assert store.rows(f"SELECT count(*) FROM {table}") == [(0,)]
    add(store)
    assert store.rows("SELECT count(*) FROM dataset_row") == [(3,)]


def test_relabelling_a_domain_keeps_cached_losses(store: Store) -> None:
    add(store)
    base_set, _ = score(store)
    assert store.relabel_domain("planets", "math", "chat") == 1
    assert store.missing_count("planets", base_set) == 0
    table = store.run("first")["table"]
    assert store.rows(f"SELECT domain, base_nll_sum FROM {table} ORDER BY row_number") == [
        ("chat", 20.0),
        ("chat", 10.0),
        ("chat", 20.0),
    ]


def test_losses_outlive_their_dataset(store: Store) -> None:
    add(store)
    base_set, _ = score(store)
    store.remove_dataset("planets")
    for table in ("dataset", "source", "dataset_row", "run"):
        assert store.rows(f"SELECT count(*) FROM {table}") == [(0,)]
    add(store, dataset="planets again")
    assert store.missing_count("planets again", base_set) == 0


def test_an_unknown_dataset_is_answered_with_those_there_are(store: Store) -> None:
    with pytest.raises(NotFound, match=r"No dataset is named 'stars'\. There is no dataset yet\."):
        store.dataset_id("stars")
    add(store)
    with pytest.raises(NotFound, match=r"No dataset is named 'stars'\. There are: planets\."):
        store.dataset_id("stars")


# Losses


def missing_responses(store: Store, loss_set: int) -> list[str]:
    batches = store.missing_losses("planets", loss_set)
    return [Example.from_json(text).response for batch in batches for text in batch["conversation"].to_pylist()]


def ids_of(store: Store) -> list[str]:
    return [row[0] for row in store.rows("SELECT example_id::VARCHAR FROM example")]


def test_duplicates_are_scored_once(store: Store) -> None:
    add(store)
    base_set = store.ensure_loss_set("base weights", "encoding", "base")
    assert store.missing_count("planets", base_set) == 2
    assert sorted(missing_responses(store, base_set)) == ["Mars", "Venus"]
    (one,) = store.missing_losses("planets", base_set, every=2)
    assert one["example_id"].to_pylist() == [min(ids_of(store))]


def test_only_what_a_loss_set_lacks_is_missing(store: Store) -> None:
    add(store)
    base_set = store.ensure_loss_set("base weights", "encoding", "base")
    assert store.ingest_shard("one", base_set, losses_of(Mars=20.0)) == 1
    assert store.missing_count("planets", base_set) == 1
    assert missing_responses(store, base_set) == ["Venus"]


def test_a_loss_set_is_told_by_model_and_encoding_and_by_nothing_else(store: Store) -> None:
    base_set = store.ensure_loss_set("base weights", "encoding", "base")
    assert store.ensure_loss_set("base weights", "encoding", "another name for it") == base_set
    assert store.ensure_loss_set("other weights", "encoding", "base") != base_set
    other_encoding = store.ensure_loss_set("base weights", "other encoding", "base")
    assert other_encoding != base_set
    add(store)
    store.ingest_shard("one", base_set, losses_of(Mars=20.0, Venus=10.0))
    assert store.missing_count("planets", other_encoding) == 2


def test_a_shard_ingested_twice_counts_once(store: Store) -> None:
    base_set = store.ensure_loss_set("base weights", "encoding", "base")
    assert "one" not in store.ingested_shards("one")
    assert store.ingest_shard("one", base_set, losses_of(Mars=20.0, Venus=10.0)) == 2
    assert "one" in store.ingested_shards("one")
    assert store.ingest_shard("one", base_set, losses_of(Mars=20.0, Venus=10.0)) == 0
    assert store.rows("SELECT count(*) FROM loss") == [(2,)]
    assert store.rows("SELECT name, row_count FROM shard") == [("one", 2)]


def test_a_loss_that_comes_in_two_shards_is_kept_as_it_came_first(store: Store) -> None:
    base_set = store.ensure_loss_set("base weights", "encoding", "base")
    store.ingest_shard("one", base_set, losses_of(Mars=20.0))
    assert store.ingest_shard("two", base_set, losses_of(Mars=99.0, Venus=10.0)) == 1
    twice_in_one = pa.concat_tables([losses_of(Earth=5.0), losses_of(Earth=5.0)])
    assert store.ingest_shard("three", base_set, twice_in_one) == 1
    assert store.rows("SELECT nll_sum FROM loss ORDER BY nll_sum") == [(5.0,), (10.0,), (20.0,)]


def test_a_shard_of_other_columns_is_refused_whole(store: Store) -> None:
    base_set = store.ensure_loss_set("base weights", "encoding", "base")
    with pytest.raises(StoreUnusable, match=r"Shard one has columns \['example_id'\]"):
        store.ingest_shard("one", base_set, losses_of(Mars=20.0).select(["example_id"]))
    assert "one" not in store.ingested_shards("one")


def test_a_shard_that_fails_midway_is_not_in_the_ledger_and_may_come_again(store: Store) -> None:
    base_set = store.ensure_loss_set("base weights", "encoding", "base")
    broken = losses_of(Mars=20.0, Venus=10.0).set_column(0, "example_id", pa.array(["not an id", "nor this"]))
    with pytest.raises(duckdb.Error):
        store.ingest_shard("one", base_set, broken)
    assert "one" not in store.ingested_shards("one")
    assert store.ingest_shard("one", base_set, losses_of(Mars=20.0)) == 1


def test_a_noise_floor_only_grows(store: Store) -> None:
    add(store)
    base_set, _ = score(store)
    assert store.run("first")["noise_floors"]["base"] is None
    for measured in (0.01, 0.002):
        store.set_noise_floor(base_set, measured)
    assert store.run("first")["noise_floors"]["base"] == 0.01
    assert store.run("first")["noise_floors"]["reference"] is None


# Runs and selections


def test_the_first_row_of_equal_ones_is_the_one_that_others_duplicate(store: Store) -> None:
    add(store)
    score(store)
    table = store.run("first")["table"]
    assert store.rows(f"SELECT row_number, duplicate_of FROM {table} ORDER BY row_number") == [
        (1, None),
        (2, None),
        (3, 1),
    ]


def test_a_run_of_the_same_name_is_built_anew_and_of_other_models_refused(store: Store) -> None:
    add(store)
    base_set, reference_set = score(store)
    add(store, row(1, "Pluto"), sha256="second file")
    store.save_run("first", "planets", {"base": base_set, "reference": reference_set}, {})
    table = store.run("first")["table"]
    assert store.rows(f"SELECT not_scored FROM {table} ORDER BY row_number") == [(False,), (False,), (False,), (True,)]
    with pytest.raises(NameTaken, match="A run named 'first' exists with other models"):
        store.save_run("first", "planets", {"base": reference_set, "reference": base_set}, {})
    add(store, dataset="other")
    with pytest.raises(NameTaken, match="Choose another name"):
        store.save_run("first", "other", {"base": base_set, "reference": reference_set}, {})
    assert store.run("first")["dataset"] == "planets"


def test_two_runs_keep_their_own_tables(store: Store) -> None:
    add(store)
    base_set, reference_set = score(store)
    store.save_run("swapped", "planets", {"base": reference_set, "reference": base_set}, {"note": "backwards"})
    values = [
        store.rows(f"SELECT base_nll_sum FROM {store.run(name)['table']} WHERE row_number = 1")
        for name in ("first", "swapped")
    ]
    assert values == [[(20.0,)], [(15.0,)]]
    assert store.run("swapped")["description"] == {"note": "backwards"}


def test_a_selections_name_holds_one_recipe_unless_told_otherwise(store: Store) -> None:
    save_recipe(store, "best", {"run": "first", "ratio": 0.06}, {"rows": 3})
    save_recipe(store, "best", {"ratio": 0.06, "run": "first"}, {"rows": 3})  # the same
    with pytest.raises(NameTaken, match="A selection named 'best' exists with another recipe"):
        save_recipe(store, "best", {"run": "first", "ratio": 0.5}, {})
    save_recipe(store, "best", {"run": "first", "ratio": 0.5}, {}, replace=True)
    assert saved_recipe(store, "best") == {"run": "first", "ratio": 0.5}
    remove_recipe(store, "best")
    with pytest.raises(NotFound, match=r"No selection is named 'best'\. There is no selection yet\."):
        saved_recipe(store, "best")


# Threads


def test_threads_read_what_is_whole_while_another_writes(store: Store) -> None:
    def read(_: int) -> set[int]:
        return {store.rows("SELECT count(*) FROM dataset_row")[0][0] for _ in range(20)}

    with ThreadPoolExecutor(4) as pool:
        readings = [pool.submit(read, number) for number in range(4)]
        for number in range(20):
            add(store, *PLANETS, sha256=f"file {number}")
        seen = set().union(*(reading.result() for reading in readings))
    assert all(count % 3 == 0 for count in seen)
    assert store.rows("SELECT count(*) FROM dataset_row") == [(60,)]


def test_batches_stream_every_row_in_order(store: Store) -> None:
    add(store, *(row(line, f"planet {line}") for line in range(2500)))
    batches = list(store.batches("SELECT line FROM dataset_row WHERE line >= ? ORDER BY line", [500], size=700))
    assert [line for batch in batches for line in batch.column(0).to_pylist()] == list(range(500, 2500))
    assert len(batches) > 1


def test_sql_reaches_no_file_but_the_store(store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n", encoding="utf-8")
    with pytest.raises(duckdb.Error, match="disabled"):
        store.rows(f"SELECT * FROM read_csv('{tmp_path / 'secret.csv'}')")
    with pytest.raises(duckdb.Error, match="locked"):
        store.rows("SET enable_external_access = true")


def test_a_store_that_was_opened_and_changed_often_opens_again(workspace: Path) -> None:
    """Space that DuckDB gave back is not in the file any more, and nothing is missing from it."""
    for number in range(8):
        with Store.open(workspace, "the dashboard") as store:
            store.add_source(
                f"set {number}", "rows.jsonl", "jsonl", "hash", {}, [row(line, f"planet {line}") for line in range(20)]
            )
            assert store.rows("SELECT count(*) FROM dataset") == [(number + 1,)]


def test_no_query_prints_a_progress_bar_into_a_commands_output(tmp_path: Path) -> None:
    with Store.open(tmp_path / "quiet", "a test") as opened:
        assert opened.rows("SELECT current_setting('enable_progress_bar')") == [(False,)]
        assert opened.write(lambda c: c.execute("SELECT current_setting('enable_progress_bar')").fetchall()) == [
            (False,)
        ]
