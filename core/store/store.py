"""The store: a workspace's datasets, losses and runs."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa

from ..data.errors import NameTaken, NotFound, StoreUnusable
from ..data.examples import DatasetRow, Rejected
from ..data.loss_roles import PAIRS
from ..data.row_blocks import RowBlock
from ..data.scores import FLAGS, SCORES
from ..jobs.shards import SHARD_SCHEMA
from . import ledger
from .connection import fetch_all, fetch_first, next_id
from .database import Database
from .insertion import ensure_dataset, insert_records
from .scored_stamp import is_current, keep_stamp
from .scored_table import build_scored_table, build_scored_tables, imported_ids, scored_table

DATASET_KEY = "dataset_key"
"""The field of a job's request with the key of its dataset (`Store.dataset_key`); earlier versions did not write it."""
_MISSING = """
    SELECT example_id FROM dataset_row
    WHERE dataset_id = $1 AND example_id NOT IN (SELECT example_id FROM loss WHERE loss_set_id = $2)
"""
_UNSEEN = """
    AND example_id NOT IN (
        SELECT example_id FROM trained_example JOIN loss_set USING (model_fingerprint) WHERE loss_set_id = $2
    )
"""


PAIRED_EXAMPLES = """
    SELECT p.dataset_id, c.example_id AS chosen, r.example_id AS rejected FROM preference_pair p
    JOIN dataset_row c ON c.dataset_id = p.dataset_id AND c.row_number = p.chosen_row
    JOIN dataset_row r ON r.dataset_id = p.dataset_id AND r.row_number = p.rejected_row
"""
"""The examples of all preference pairs: dataset_id, chosen, rejected."""


class Store(Database):
    """An open store: see `Database` for reading and writing."""

    @classmethod
    def open(cls, workspace: Path, owner: str, accept_loss: bool = False) -> Self:
        """Like `Database.open`. Runs scored before a score or flag was added to `data.scores` get the new column; no
        loss is computed."""
        store = super().open(workspace, owner, accept_loss)
        try:
            store.complete_scored_tables()
        except BaseException:
            store.close()
            raise
        return store

    # Datasets

    def dataset_id(self, name: str) -> int:
        """Id of a dataset. Raises `NotFound` with the existing names."""
        return int(self.named("dataset", "dataset_id", name))

    def dataset_key(self, name: str) -> str:
        """A text for a dataset that no later dataset has, whatever its name or id. Raises `NotFound`."""
        dataset_id = self.dataset_id(name)
        sql = "SELECT epoch_us(created_at) FROM dataset WHERE dataset_id = ?"
        return f"{dataset_id} {self.rows(sql, [dataset_id])[0][0]}"

    def check_same_dataset(self, name: str, key: str | None) -> None:
        """Raise `NotFound` if the dataset of that name is gone, or is another one than had the key (None: unknown)."""
        if self.dataset_key(name) != key and key is not None:
            raise NotFound(
                f"The dataset {name!r} was removed and imported again while this was under way. Losses that were "
                "computed are kept: start it again."
            )

    def named(self, table: str, column: str, name: str) -> Any:
        """A column of the row with that name. Raises `NotFound` with the existing names."""
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
        records: Iterable[DatasetRow | Rejected | RowBlock],
    ) -> int:
        """Add one file's records to a dataset (created if new) in one transaction; returns the source's id.

        `records` is streamed once. A file that the dataset already has with the same content and options is not added
        again: its existing id is returned. Where it came from (the option "origin") does not matter.
        """
        fields = json.dumps(options, sort_keys=True, ensure_ascii=False)

        def change(connection: duckdb.DuckDBPyConnection) -> int:
            dataset_id = ensure_dataset(connection, dataset)
            same_content = fetch_all(
                connection,
                "SELECT source_id, options FROM source WHERE dataset_id = ? AND sha256 = ? ORDER BY source_id",
                [dataset_id, sha256],
            )
            for source_id, known_fields in same_content:
                if _without_origin(json.loads(known_fields)) == _without_origin(options):
                    return int(source_id)
            source_id = next_id(connection, "source")
            row_count, rejected_count = insert_records(connection, dataset_id, source_id, records)
            fetch_all(
                connection,
                "INSERT INTO source VALUES (?, ?, ?, ?, ?, ?, ?, ?, now())",
                [source_id, dataset_id, source_name, source_format, sha256, fields, row_count, rejected_count],
            )
            return source_id

        return self.write(change)

    def relabel_domain(self, dataset: str, old: str, new: str) -> int:
        """Rename a domain of a dataset (an existing name merges the two); losses are kept. Returns rows changed."""
        dataset_id = self.dataset_id(dataset)

        def change(connection: duckdb.DuckDBPyConnection) -> int:
            changed = fetch_first(
                connection,
                "UPDATE dataset_row SET domain = ? WHERE dataset_id = ? AND domain = ?",
                [new, dataset_id, old],
            )
            build_scored_tables(connection, dataset_id)
            return int(changed[0]) if changed else 0

        return self.write(change)

    def remove_dataset(self, dataset: str) -> None:
        """Delete a dataset, its runs and its rows for good. Losses stay: they are keyed by content and cost GPU time.
        `set_dataset_aside` removes one that can be restored."""
        dataset_id = self.dataset_id(dataset)
        self.write(lambda connection: delete_dataset(connection, dataset_id))

    # Losses

    def ensure_loss_set(self, model_fingerprint: str, encoding_fingerprint: str, model_label: str) -> int:
        """Id of the loss set of this model and encoding, created if new."""
        sql = "SELECT loss_set_id FROM loss_set WHERE model_fingerprint = ? AND encoding_fingerprint = ?"
        key = [model_fingerprint, encoding_fingerprint]
        if known := self.rows(sql, key):
            return int(known[0][0])

        def change(connection: duckdb.DuckDBPyConnection) -> int:
            found = fetch_first(connection, sql, key)
            if found:
                return int(found[0])
            loss_set_id = next_id(connection, "loss_set")
            fetch_all(connection, "INSERT INTO loss_set VALUES (?, ?, ?, ?, NULL)", [loss_set_id, *key, model_label])
            return loss_set_id

        return self.write(change)

    def template_day(self) -> str:
        """The date (ISO 8601) for chat templates that ask for one: the day on which the workspace first needed it, so
        that all its losses are for the same texts."""
        sql = "SELECT day FROM template_day"
        if known := self.rows(sql):
            return str(known[0][0])

        def change(connection: duckdb.DuckDBPyConnection) -> str:
            today = date.today().isoformat()
            found = fetch_first(connection, sql)
            if found is None:
                fetch_all(connection, "INSERT INTO template_day VALUES (?)", [today])
            return str(found[0]) if found else today

        return self.write(change)

    def missing_count(self, dataset: str, loss_set_id: int, unseen_only: bool = False) -> int:
        """Number of examples of a dataset without a loss in this loss set; `unseen_only`: of those that its model was
        not trained on (`record_training`)."""
        sql = f"SELECT count(DISTINCT example_id) FROM ({_missing(unseen_only)})"
        return int(self.rows(sql, [self.dataset_id(dataset), loss_set_id])[0][0])

    def wanted_count(self, dataset: str, loss_set_id: int, unseen_only: bool = False) -> int:
        """Number of unique examples of a dataset; `unseen_only`: see `missing_count`."""
        sql = (
            f"SELECT count(DISTINCT example_id) FROM dataset_row WHERE dataset_id = $1{_UNSEEN if unseen_only else ''}"
        )
        return int(self.rows(sql, [self.dataset_id(dataset), *([loss_set_id] if unseen_only else [])])[0][0])

    def missing_losses(
        self, dataset: str, loss_set_id: int, every: int = 1, unseen_only: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Examples of a dataset without a loss in this loss set, by id, in batches: `example_id` (text), `conversation`
        and an empty `domain`, one row per example. `every`: only every n-th of them. `unseen_only`: see
        `missing_count`."""
        sql = f"""
            SELECT example_id::VARCHAR AS example_id, conversation, '' AS domain FROM example WHERE example_id IN (
                SELECT example_id FROM (SELECT DISTINCT example_id FROM ({_missing(unseen_only)}))
                QUALIFY (row_number() OVER (ORDER BY example_id) - 1) % $3 = 0
            ) ORDER BY example.example_id
        """
        return self.batches(sql, [self.dataset_id(dataset), loss_set_id, every])

    def ingest_shard(self, name: str, loss_set_id: int, losses: pa.Table, sha256: str | None = None) -> int:
        """Add a shard's losses (`core.jobs.shards.SHARD_SCHEMA`) and its name to the ledger in one transaction.

        Shards whose name is in the ledger and losses that exist are skipped, so ingesting twice changes nothing.
        `sha256` is the hash of the shard's file. Returns how many losses were new.
        """
        if losses.schema != SHARD_SCHEMA:
            raise StoreUnusable(f"Shard {name} has columns {losses.schema.names}, not {SHARD_SCHEMA.names}.")
        return self.write(lambda connection: ledger.add_shard(connection, name, loss_set_id, losses, sha256))

    def absent_losses(self, loss_set_id: int, losses: pa.Table) -> int:
        """How many of a shard's losses are missing in the store; reads every loss that is there."""
        with self._cursor() as cursor:
            return ledger.absent_count(cursor, loss_set_id, losses)

    def put_back_losses(self, loss_set_id: int, losses: pa.Table) -> int:
        """Insert an ingested shard's losses that the store has lost; returns how many."""
        return self.write(lambda connection: ledger.put_back(connection, loss_set_id, losses))

    def ingested_shards(self, prefix: str) -> set[str]:
        """Names of ingested shards with this prefix: one query per job, however many shards it has."""
        return {name for (name,) in self.rows("SELECT name FROM shard WHERE starts_with(name, ?)", [prefix])}

    def set_noise_floor(self, loss_set_id: int, nats_per_token: float) -> None:
        """Record the noise floor of a loss set: how far a loss moves if only the batching changes [nats per token].

        A value no larger than the stored one is not written: supervisors report the same value repeatedly.
        """
        known = self.rows("SELECT noise_floor FROM loss_set WHERE loss_set_id = ?", [loss_set_id])
        if known and known[0][0] is not None and known[0][0] >= nats_per_token:
            return
        self.write(
            lambda connection: fetch_all(
                connection,
                "UPDATE loss_set SET noise_floor = greatest(coalesce(noise_floor, 0), ?) WHERE loss_set_id = ?",
                [nats_per_token, loss_set_id],
            )
        )

    def noise_floors(self, loss_sets: Iterable[int]) -> list[float | None]:
        """The noise floors of loss sets [nats per token], None until measured."""
        sql = "SELECT noise_floor FROM loss_set WHERE loss_set_id IN (SELECT unnest(?::INTEGER[]))"
        return [noise for (noise,) in self.rows(sql, [list(loss_sets)])]

    def record_training(self, model_fingerprint: str, example_ids: Sequence[str]) -> None:
        """Record which examples a model was trained on, to flag them. What was recorded of it before is replaced.

        The rejected answer of a preference pair counts as trained on if the chosen one does: it is the other half of
        what the model saw, and both are to be judged by the same models.
        """
        trained = self.arrow(
            f"""
            WITH given AS (SELECT example_id::UUID AS example_id FROM trained_on)
            SELECT example_id::VARCHAR AS example_id FROM (
                FROM given UNION SELECT rejected FROM ({PAIRED_EXAMPLES}) JOIN given ON chosen = example_id
            )
            """,
            trained_on=pa.table({"example_id": pa.array(example_ids, pa.string())}),
        )
        known = self.rows(
            "SELECT count(*), sum(hash(example_id)) FROM trained_example WHERE model_fingerprint = ?",
            [model_fingerprint],
        )
        given = self.arrow(
            "SELECT count(*) AS n, sum(hash(example_id::UUID)) AS h FROM trained_on",
            trained_on=trained,
        ).to_pylist()[0]
        if known[0] == (given["n"], given["h"]):
            return

        def change(connection: duckdb.DuckDBPyConnection) -> None:
            fetch_all(connection, "DELETE FROM trained_example WHERE model_fingerprint = ?", [model_fingerprint])
            connection.register("trained_on", trained)
            fetch_all(
                connection,
                "INSERT INTO trained_example SELECT ?, example_id::UUID FROM trained_on",
                [model_fingerprint],
            )
            connection.unregister("trained_on")

        self.write(change)

    # Runs

    def save_run(
        self, name: str, dataset: str, loss_sets: Mapping[str, int], description: dict[str, Any] | None = None
    ) -> None:
        """Save a run with the id of its loss set for each role (`core.data.loss_roles`), and (re)build its scored table
        from existing losses, unless it is up to date.

        An existing run with that name keeps roles that are not given, and its description if none is given; if its
        encoding is of an earlier version, it is replaced. Raises `NameTaken` if it has other models, another encoding
        or another dataset.
        """
        dataset_id = self.dataset_id(dataset)
        self.check_run_name(name, dataset, loss_sets, description)
        with self._cursor() as cursor:
            known = fetch_first(cursor, "SELECT run_id, description FROM run WHERE name = ?", [name])
            is_same = known and (description is None or json.loads(known[1]) == json.loads(json.dumps(description)))
            has_sets = known and loss_sets.items() <= self.loss_sets(known[0]).items()
            if known and is_same and has_sets and is_current(cursor, known[0]):
                return

        def change(connection: duckdb.DuckDBPyConnection) -> None:
            found = fetch_first(connection, "SELECT run_id FROM run WHERE name = ?", [name])
            run_id = int(found[0]) if found else next_id(connection, "run")
            fields = json.dumps(description or {}, sort_keys=True)
            if not found:
                fetch_all(connection, "INSERT INTO run VALUES (?, ?, ?, ?, now())", [run_id, name, dataset_id, fields])
            elif description is not None:
                fetch_all(connection, "UPDATE run SET description = ? WHERE run_id = ?", [fields, run_id])
            for role, loss_set_id in loss_sets.items():
                fetch_all(connection, "DELETE FROM run_loss WHERE run_id = ? AND role = ?", [run_id, role])
                fetch_all(connection, "INSERT INTO run_loss VALUES (?, ?, ?)", [run_id, role, loss_set_id])
            build_scored_table(connection, run_id)
            keep_stamp(connection, run_id)

        self.write(change)

    def complete_scored_tables(self) -> None:
        """Rebuild scored tables that lack a column; missing tables are left for `check` to report."""
        runs = [int(run_id) for (run_id,) in self.rows("SELECT run_id FROM run ORDER BY run_id")]
        if not runs:
            return  # listing columns takes longer than all else of opening a new store
        columns: dict[str, list[str]] = dict(
            self.rows(
                "SELECT table_name, list(column_name) FROM duckdb_columns() "
                "WHERE database_name = current_database() GROUP BY table_name"
            )
        )
        wanted = {*SCORES, *FLAGS}
        lacking = [run_id for run_id in runs if wanted - set(columns.get(scored_table(run_id), wanted))]

        def change(connection: duckdb.DuckDBPyConnection) -> None:
            for run_id in lacking:
                build_scored_table(connection, run_id)
                keep_stamp(connection, run_id)

        if lacking:
            self.write(change)

    def check_run_name(
        self, name: str, dataset: str, loss_sets: Mapping[str, int], description: dict[str, Any] | None
    ) -> None:
        """Raise `NameTaken` if the name belongs to a run with other data, models or encoding (an earlier version of the
        same encoding is allowed)."""
        found = self.rows("SELECT run_id, dataset_id, description FROM run WHERE name = ?", [name])
        if not found:
            return
        run_id, dataset_id, known = found[0]
        before = self.loss_sets(run_id)
        is_same = all(before.get(role, loss_set) == loss_set for role, loss_set in loss_sets.items())
        if not is_same and description is not None:
            is_same = _follows(json.loads(known), description)
        if dataset_id != self.dataset_id(dataset) or not is_same:
            raise NameTaken(f"A run named {name!r} exists with other models, data or encoding. Choose another name.")

    def loss_sets(self, run_id: int) -> dict[str, int]:
        """Ids of a run's loss sets by role."""
        return dict(self.rows("SELECT role, loss_set_id FROM run_loss WHERE run_id = ?", [run_id]))

    def run(self, name: str) -> dict[str, Any]:
        """A run: run_id, name, dataset, table (its scored table), loss_sets (id by role), roles (those, names of
        imported scores, and `PAIRS` if the dataset has preference pairs), noise_floors [nats per token] (by role, None
        until measured), `description` as saved, and embeddings (the fields of those that it uses instead of its base's,
        or None). Raises `NotFound`."""
        run_id = int(self.named("run", "run_id", name))
        dataset, description = self.rows(
            "SELECT dataset.name, description FROM run JOIN dataset USING (dataset_id) WHERE run_id = ?", [run_id]
        )[0]
        losses = self.rows(
            "SELECT role, loss_set_id, noise_floor FROM run_loss JOIN loss_set USING (loss_set_id) "
            "WHERE run_id = ? ORDER BY role",
            [run_id],
        )
        with self._cursor() as cursor:
            imported = list(imported_ids(cursor, run_id))
        paired = "SELECT 1 FROM preference_pair JOIN run USING (dataset_id) WHERE run_id = ? LIMIT 1"
        pairs = [PAIRS] if self.rows(paired, [run_id]) else []
        specs = self.rows("SELECT spec FROM run_embeddings WHERE run_id = ?", [run_id])
        return {
            "run_id": run_id,
            "name": name,
            "dataset": dataset,
            "table": scored_table(run_id),
            "loss_sets": {role: loss_set_id for role, loss_set_id, _ in losses},
            "roles": (*(role for role, *_ in losses), *imported, *pairs),
            "noise_floors": {role: noise for role, _, noise in losses},
            "description": json.loads(description),
            "embeddings": json.loads(specs[0][0]) if specs else None,
        }

    def use_embeddings(self, name: str, fields: dict[str, Any] | None) -> None:
        """Let a run use the embeddings of these fields (`EmbeddingSpec`), or its base's (None). Raises `NotFound`."""
        run_id = int(self.named("run", "run_id", name))
        spec = json.dumps(fields, sort_keys=True) if fields else None
        if self.rows("SELECT spec FROM run_embeddings WHERE run_id = ?", [run_id]) == ([(spec,)] if spec else []):
            return

        def change(connection: duckdb.DuckDBPyConnection) -> None:
            fetch_all(connection, "DELETE FROM run_embeddings WHERE run_id = ?", [run_id])
            if spec:
                fetch_all(connection, "INSERT INTO run_embeddings VALUES (?, ?)", [run_id, spec])

        self.write(change)


def delete_dataset(connection: duckdb.DuckDBPyConnection, dataset_id: int) -> None:
    """Delete a dataset, its runs and its rows; only for the writer."""
    for (run_id,) in fetch_all(connection, "SELECT run_id FROM run WHERE dataset_id = ?", [dataset_id]):
        fetch_all(connection, f"DROP TABLE IF EXISTS {scored_table(run_id)}")
    parts = (
        ("rejection", "source"),
        ("near_duplicate", "near_duplicate_set"),
        ("map_place", "map_set"),
        ("imported_value", "imported_score"),
    )
    for part, whole in parts:
        ids = f"SELECT {whole}_id FROM {whole} WHERE dataset_id = ?"
        fetch_all(connection, f"DELETE FROM {part} WHERE {whole}_id IN ({ids})", [dataset_id])
    runs = "SELECT run_id FROM run WHERE dataset_id = ?"
    for table in ("run_loss", "run_embeddings", "draft", "draft_part"):
        fetch_all(connection, f"DELETE FROM {table} WHERE run_id IN ({runs})", [dataset_id])
    for table in (
        "run", "dataset_row", "preference_pair", "source", "near_duplicate_set", "map_set", "imported_score", "dataset"
    ):  # fmt: skip
        fetch_all(connection, f"DELETE FROM {table} WHERE dataset_id = ?", [dataset_id])


def _follows(known: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether a run's new description differs from the stored one only in the version of its encoding, and in the date,
    which earlier versions did not store."""
    before, now = known.get("encoding"), new.get("encoding")
    if not isinstance(before, dict) or not isinstance(now, dict) or before.get("version") == now.get("version"):
        return False
    shared = before.keys() - {"version"}
    return (
        all(before[key] == now.get(key) for key in shared)
        and now.keys() - before.keys() <= {"day"}
        and known.get("model_fingerprints") == new.get("model_fingerprints")
    )


def _missing(unseen_only: bool) -> str:
    return _MISSING + _UNSEEN if unseen_only else _MISSING


def _without_origin(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "origin"}
