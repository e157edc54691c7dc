"""The store: the only user of DuckDB, and the one process that may write to a workspace.

One thread writes; readers get cursors of their own, because one DuckDB connection used from two threads gives
wrong answers. Ownership is an flock on `store.lock`: DuckDB's own lock is lost silently when the owner opens the
database file a second way, so nothing here ever does.
"""

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, TextIO, TypeVar

import duckdb
import pandas as pd
import pyarrow as pa

from core import settings
from core.errors import NameTaken, NotFound, StoreUnusable
from core.examples import DatasetRow, Rejected
from core.ownership import acquire_lock
from core.scored_table import scored_table_sql
from core.spool import SHARD_SCHEMA

STORE_VERSION = 1
_INSERT_BATCH = 10_000
_HEADER_BYTES = 3 * 4096
"""DuckDB's file begins with three headers of this total size; blocks follow."""
_Result = TypeVar("_Result")
_EXAMPLE_ROWS = pa.schema(
    [
        ("row_number", pa.int64()),
        ("example_id", pa.string()),
        ("domain", pa.string()),
        ("line", pa.int64()),
        ("original", pa.binary()),
        ("conversation", pa.string()),
        ("prompt", pa.string()),
        ("response", pa.string()),
    ]
)


class Store:
    """An open store. Use `Store.open`; close it, or use it as a context manager."""

    def __init__(self, workspace: Path, lock: TextIO, connection: duckdb.DuckDBPyConnection) -> None:
        self.workspace = workspace
        self._lock = lock
        self._connection = connection
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-writer")
        self._local = threading.local()

    # Opening and closing

    @classmethod
    def open(cls, workspace: Path, owner: str) -> "Store":
        """Open the workspace's store, creating both if there are none.

        `owner` says who holds it, to whoever comes second ("the dashboard", "python -m core score").
        Raises `WorkspaceLocked` if another process holds it, `StoreUnusable` if it cannot be opened.
        """
        try:
            workspace.mkdir(parents=True, exist_ok=True)
            lock = acquire_lock(workspace / "store.lock", owner)
        except OSError as error:
            raise StoreUnusable(
                f"The workspace {workspace} cannot be written to ({error.strerror}). Choose another with --workspace."
            ) from error
        try:
            connection = _connect(workspace)
        except BaseException:
            lock.close()
            raise
        return cls(workspace, lock, connection)

    def close(self) -> None:
        """Finish the pending write, close the database and give the workspace back."""
        self._writer.shutdown(wait=True)
        self._connection.close()
        self._lock.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Reading and writing

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    def frame(self, sql: str, parameters: Sequence[object] = ()) -> pd.DataFrame:
        """Rows of a query as a DataFrame, from any thread."""
        with self._cursor() as cursor:
            return cursor.execute(sql, list(parameters)).df()

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query as tuples, from any thread."""
        with self._cursor() as cursor:
            return cursor.execute(sql, list(parameters)).fetchall()

    def batches(self, sql: str, parameters: Sequence[object] = (), size: int = 10_000) -> Iterator[pa.RecordBatch]:
        """Rows of a query as Arrow batches of at most `size` rows, streamed in bounded memory."""
        with self._cursor() as cursor:
            yield from cursor.sql(sql, params=list(parameters)).to_arrow_reader(size)

    def _write(self, change: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run one change in the writer thread, in one transaction: all of it, or none."""

        def transaction() -> _Result:
            _run(self._connection, "BEGIN")
            try:
                result = change(self._connection)
                _run(self._connection, "COMMIT")
                return result
            except BaseException:
                _run(self._connection, "ROLLBACK")
                raise

        return self._writer.submit(transaction).result()

    # Datasets

    def dataset_id(self, name: str) -> int:
        """Id of a dataset. Raises `NotFound` naming those there are."""
        return int(self._named("dataset", "dataset_id", name))

    def _named(self, table: str, column: str, name: str) -> Any:
        found = self.rows(f"SELECT {column} FROM {table} WHERE name = ?", [name])
        if not found:
            names = [row[0] for row in self.rows(f"SELECT name FROM {table} ORDER BY name")]
            known = f"There are: {', '.join(names)}." if names else f"There is no {table} yet."
            raise NotFound(f"No {table} is named {name!r}. {known}")
        return found[0][0]

    def add_source(
        self,
        dataset: str,
        source_name: str,
        source_format: str,
        sha256: str,
        options: dict[str, Any],
        records: Iterable[DatasetRow | Rejected],
    ) -> int:
        """Add one file's records to a dataset (made if new) in one transaction; returns the source's id.

        `records` is consumed once and streamed. A file whose content and options are in the dataset already is
        not added twice: its existing id comes back.
        """
        fields = json.dumps(options, sort_keys=True, ensure_ascii=False)

        def change(connection: duckdb.DuckDBPyConnection) -> int:
            dataset_id = _ensure_dataset(connection, dataset)
            known = _first(
                connection,
                "SELECT source_id FROM source WHERE dataset_id = ? AND sha256 = ? AND options = ?",
                [dataset_id, sha256, fields],
            )
            if known:
                return int(known[0])
            source_id = _next_id(connection, "source")
            row_count, rejected_count = _insert_records(connection, dataset_id, source_id, records)
            _run(
                connection,
                "INSERT INTO source VALUES (?, ?, ?, ?, ?, ?, ?, ?, now())",
                [source_id, dataset_id, source_name, source_format, sha256, fields, row_count, rejected_count],
            )
            return source_id

        return self._write(change)

    def relabel_domain(self, dataset: str, old: str, new: str) -> int:
        """Rename a domain of a dataset (an existing name merges the two); losses are kept. Returns rows changed."""
        dataset_id = self.dataset_id(dataset)

        def change(connection: duckdb.DuckDBPyConnection) -> int:
            changed = _first(
                connection,
                "UPDATE dataset_row SET domain = ? WHERE dataset_id = ? AND domain = ?",
                [new, dataset_id, old],
            )
            for (run_id,) in _run(connection, "SELECT run_id FROM run WHERE dataset_id = ?", [dataset_id]):
                _build_scored_table(connection, run_id)
            return int(changed[0]) if changed else 0

        return self._write(change)

    def remove_dataset(self, dataset: str) -> None:
        """Remove a dataset, its runs and its rows. Losses stay: they are keyed by content and cost GPU time."""
        dataset_id = self.dataset_id(dataset)

        def change(connection: duckdb.DuckDBPyConnection) -> None:
            for (run_id,) in _run(connection, "SELECT run_id FROM run WHERE dataset_id = ?", [dataset_id]):
                _run(connection, f"DROP TABLE IF EXISTS {scored_table(run_id)}")
            _run(
                connection,
                "DELETE FROM rejection WHERE source_id IN (SELECT source_id FROM source WHERE dataset_id = ?)",
                [dataset_id],
            )
            for table in ("run", "dataset_row", "source", "dataset"):
                _run(connection, f"DELETE FROM {table} WHERE dataset_id = ?", [dataset_id])

        self._write(change)

    # Losses

    def ensure_loss_set(self, model_fingerprint: str, encoding_fingerprint: str, model_label: str) -> int:
        """Id of the loss set of this model and encoding, made if new."""

        def change(connection: duckdb.DuckDBPyConnection) -> int:
            found = _first(
                connection,
                "SELECT loss_set_id FROM loss_set WHERE model_fingerprint = ? AND encoding_fingerprint = ?",
                [model_fingerprint, encoding_fingerprint],
            )
            if found:
                return int(found[0])
            loss_set_id = _next_id(connection, "loss_set")
            _run(
                connection,
                "INSERT INTO loss_set VALUES (?, ?, ?, ?, NULL)",
                [loss_set_id, model_fingerprint, encoding_fingerprint, model_label],
            )
            return loss_set_id

        return self._write(change)

    def missing_losses(self, dataset: str, loss_set_id: int) -> pa.Table:
        """Examples of a dataset that this loss set lacks: `example_id` (text), `conversation`, one row an example."""
        sql = """
            SELECT DISTINCT example_id::VARCHAR AS example_id, conversation
            FROM dataset_row JOIN example USING (example_id)
            WHERE dataset_id = ? AND example_id NOT IN (SELECT example_id FROM loss WHERE loss_set_id = ?)
            ORDER BY example_id
        """
        with self._cursor() as cursor:
            return cursor.sql(sql, params=[self.dataset_id(dataset), loss_set_id]).to_arrow_table()

    def ingest_shard(self, name: str, loss_set_id: int, losses: pa.Table) -> int:
        """Add a shard's losses (`core.spool.SHARD_SCHEMA`) and its name to the ledger in one transaction.

        A shard whose name is in the ledger, and a loss that is there already, are passed over, so ingesting
        anything twice changes nothing. Returns how many losses were new.
        """
        if losses.schema != SHARD_SCHEMA:
            raise StoreUnusable(f"Shard {name} has columns {losses.schema.names}, not {SHARD_SCHEMA.names}.")

        def change(connection: duckdb.DuckDBPyConnection) -> int:
            if _first(connection, "SELECT 1 FROM shard WHERE name = ?", [name]):
                return 0
            connection.register("new_losses", losses)
            added = _first(
                connection,
                """
                INSERT INTO loss
                SELECT DISTINCT ON (id) ?, example_id::UUID AS id, nll_sum, token_count, truncated, reason
                FROM new_losses
                WHERE example_id::UUID NOT IN (SELECT example_id FROM loss WHERE loss_set_id = ?)
                """,
                [loss_set_id, loss_set_id],
            )
            connection.unregister("new_losses")
            _run(connection, "INSERT INTO shard VALUES (?, ?, now())", [name, losses.num_rows])
            return int(added[0]) if added else 0

        return self._write(change)

    def has_shard(self, name: str) -> bool:
        """Whether a shard of that name was ingested."""
        return bool(self.rows("SELECT 1 FROM shard WHERE name = ?", [name]))

    def set_noise_floor(self, loss_set_id: int, nats_per_token: float) -> None:
        """Record how far a loss of this set moves when only the batch plan changes [nats per token]."""
        self._write(
            lambda connection: _run(
                connection,
                "UPDATE loss_set SET noise_floor = greatest(coalesce(noise_floor, 0), ?) WHERE loss_set_id = ?",
                [nats_per_token, loss_set_id],
            )
        )

    # Runs

    def save_run(self, name: str, dataset: str, base_set: int, reference_set: int, description: dict[str, Any]) -> None:
        """Record a run and (re)build its scored table from the losses there are.

        Raises `NameTaken` if a run of that name compares other models, another encoding or another dataset.
        """
        dataset_id = self.dataset_id(dataset)
        self.check_run_name(name, dataset, base_set, reference_set)

        def change(connection: duckdb.DuckDBPyConnection) -> None:
            found = _first(connection, "SELECT run_id FROM run WHERE name = ?", [name])
            run_id = int(found[0]) if found else _next_id(connection, "run")
            if not found:
                _run(
                    connection,
                    "INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, now())",
                    [run_id, name, dataset_id, base_set, reference_set, json.dumps(description, sort_keys=True)],
                )
            _build_scored_table(connection, run_id)

        self._write(change)

    def check_run_name(self, name: str, dataset: str, base_set: int, reference_set: int) -> None:
        """Raise `NameTaken` if the name is another run's."""
        found = self.rows("SELECT dataset_id, base_set, reference_set FROM run WHERE name = ?", [name])
        if found and found[0] != (self.dataset_id(dataset), base_set, reference_set):
            raise NameTaken(
                f"A run named {name!r} exists and compares other models, data or encoding. Choose another --run name."
            )

    def run(self, name: str) -> dict[str, Any]:
        """A run: run_id, name, dataset, table (its scored table), base_noise and reference_noise
        [nats per token], and `description` as saved. Raises `NotFound`."""
        run_id = int(self._named("run", "run_id", name))
        dataset, description, base_noise, reference_noise = self.rows(
            """
            SELECT dataset.name, description, base.noise_floor, reference.noise_floor
            FROM run JOIN dataset USING (dataset_id)
            JOIN loss_set base ON base.loss_set_id = base_set
            JOIN loss_set reference ON reference.loss_set_id = reference_set
            WHERE run_id = ?
            """,
            [run_id],
        )[0]
        return {
            "run_id": run_id,
            "name": name,
            "dataset": dataset,
            "table": scored_table(run_id),
            "base_noise": base_noise,
            "reference_noise": reference_noise,
            "description": json.loads(description),
        }

    # Selections

    def save_selection(self, name: str, recipe: dict[str, Any], summary: dict[str, Any], replace: bool = False) -> None:
        """Save a recipe under a name. Raises `NameTaken` if the name holds another recipe, unless `replace`."""
        text = json.dumps(recipe, sort_keys=True, ensure_ascii=False)
        found = self.rows("SELECT recipe FROM selection WHERE name = ?", [name])
        if found and found[0][0] != text and not replace:
            raise NameTaken(f"A selection named {name!r} exists with another recipe. Choose another name.")

        def change(connection: duckdb.DuckDBPyConnection) -> None:
            _run(connection, "DELETE FROM selection WHERE name = ?", [name])
            _run(connection, "INSERT INTO selection VALUES (?, ?, ?, now())", [name, text, json.dumps(summary)])

        self._write(change)

    def selection(self, name: str) -> dict[str, Any]:
        """The recipe saved under a name. Raises `NotFound`."""
        return dict(json.loads(self._named("selection", "recipe", name)))

    def remove_selection(self, name: str) -> None:
        """Forget a saved recipe; files exported from it stay."""
        self._named("selection", "name", name)
        self._write(lambda connection: _run(connection, "DELETE FROM selection WHERE name = ?", [name]))


def scored_table(run_id: int) -> str:
    """Name of a run's scored table."""
    return f"scored_{int(run_id)}"


def _connect(workspace: Path) -> duckdb.DuckDBPyConnection:
    path = workspace / "store.duckdb"
    spill = workspace / "spill"
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": settings.text("store_memory"),
        "temp_directory": str(spill),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "threads": settings.integer("store_threads") or os.cpu_count() or 1,
    }
    try:
        connection = duckdb.connect(str(path), config=config)
        _run(connection, "SET TimeZone = 'UTC'")
        _run(connection, "SET enable_external_access = false")
        _run(connection, "SET lock_configuration = true")
        _check_size(connection, path)
        version = _version(connection)
    except duckdb.Error as error:
        raise StoreUnusable(
            f"The store {path} cannot be opened ({str(error).splitlines()[0]}). "
            "Nothing was changed; restore a backup of it, or choose another --workspace."
        ) from error
    if version != STORE_VERSION:
        connection.close()
        raise StoreUnusable(
            f"The store {path} has version {version}; this program reads version {STORE_VERSION}. "
            "Use the program version that wrote it, or choose another --workspace."
        )
    return connection


def _check_size(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """DuckDB opens a file that lost its end and fails on some later read: compare what it says with what is there."""
    block_size, blocks = _run(connection, "SELECT block_size, total_blocks FROM pragma_database_size()")[0]
    expected, found = _HEADER_BYTES + block_size * blocks, path.stat().st_size
    if found < expected:
        connection.close()
        raise StoreUnusable(
            f"The store {path} cannot be opened: it has lost its end ({found:,} of {expected:,} bytes). "
            "Nothing was changed; restore a backup of it, or choose another --workspace."
        )


def _version(connection: duckdb.DuckDBPyConnection) -> int:
    tables = _first(connection, "SELECT count(*) FROM duckdb_tables()")
    if tables == (0,):
        _run(connection, "BEGIN")
        _run(connection, resources.files("core").joinpath("schema.sql").read_text(encoding="utf-8"))
        _run(connection, "INSERT INTO store_version VALUES (?)", [STORE_VERSION])
        _run(connection, "COMMIT")
    row = _first(connection, "SELECT version FROM store_version")
    return int(row[0]) if row else -1


def _run(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """Run one statement to its end: an unfinished result blocks whatever its connection does next."""
    return connection.execute(sql, list(parameters)).fetchall()


def _first(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object] = ()
) -> tuple[Any, ...] | None:
    """First row of a statement, or None."""
    return next(iter(_run(connection, sql, parameters)), None)


def _next_id(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = _first(connection, f"SELECT coalesce(max({table}_id), 0) + 1 FROM {table}")
    return int(row[0]) if row else 1


def _ensure_dataset(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    found = _first(connection, "SELECT dataset_id FROM dataset WHERE name = ?", [name])
    if found:
        return int(found[0])
    dataset_id = _next_id(connection, "dataset")
    _run(connection, "INSERT INTO dataset VALUES (?, ?, now())", [dataset_id, name])
    return dataset_id


def _insert_records(
    connection: duckdb.DuckDBPyConnection, dataset_id: int, source_id: int, records: Iterable[DatasetRow | Rejected]
) -> tuple[int, int]:
    """Stream records in; returns how many rows were kept and how many rejected."""
    last = _first(connection, "SELECT coalesce(max(row_number), 0) FROM dataset_row WHERE dataset_id = ?", [dataset_id])
    first_number = int(last[0]) + 1 if last else 1
    kept = rejected = 0
    stream = iter(records)
    while batch := list(islice(stream, _INSERT_BATCH)):
        rows = [record for record in batch if isinstance(record, DatasetRow)]
        rejections = [record for record in batch if isinstance(record, Rejected)]
        if rows:
            _insert_rows(connection, dataset_id, source_id, first_number + kept, rows)
        if rejections:
            table = pa.table(
                {
                    "line": pa.array([r.line for r in rejections], pa.int64()),
                    "reason": [r.reason for r in rejections],
                    "detail": [r.detail for r in rejections],
                }
            )
            connection.register("new_rejections", table)
            _run(connection, "INSERT INTO rejection SELECT ?, line, reason, detail FROM new_rejections", [source_id])
            connection.unregister("new_rejections")
        kept += len(rows)
        rejected += len(rejections)
    return kept, rejected


def _insert_rows(
    connection: duckdb.DuckDBPyConnection, dataset_id: int, source_id: int, first_number: int, rows: list[DatasetRow]
) -> None:
    columns: list[list[Any]] = [[] for _ in _EXAMPLE_ROWS]
    for number, row in enumerate(rows, first_number):
        example = row.example
        values = (
            number,
            str(example.example_id),
            row.domain,
            row.line,
            row.original,
            example.to_json(),
            example.prompt,
            example.response,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    connection.register("new_rows", pa.table(columns, schema=_EXAMPLE_ROWS))
    _run(
        connection,
        "INSERT INTO dataset_row SELECT ?, row_number, example_id::UUID, domain, ?, line, original FROM new_rows",
        [dataset_id, source_id],
    )
    _run(
        connection,
        """
        INSERT INTO example
        SELECT DISTINCT ON (id) example_id::UUID AS id, conversation, prompt, response FROM new_rows
        WHERE example_id::UUID NOT IN (SELECT example_id FROM example)
        """,
    )
    connection.unregister("new_rows")


def _build_scored_table(connection: duckdb.DuckDBPyConnection, run_id: int) -> None:
    _run(connection, scored_table_sql(scored_table(run_id)), [run_id])
