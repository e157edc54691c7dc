"""The kept rows in the dataset's order, read in chunks of bounded size, the next ones while one is written."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from ..data.errors import ExportFailed
from ..data.scores import FLAGS
from ..selection import Selection
from ..selection.budgets import budgets
from ..selection.ranking import cut, ranking
from ..selection.scored_run import scored_run
from ..store import Store

CHUNK_BYTES = 2**25
"""About what a chunk's rows take, going by the chunk before."""
FIRST_ROWS = 1024
_MOST_ROWS = 2**16
_STREAMED_ROWS = 2**12
"""So few that they are still in the processor's cache when they are written."""
_AHEAD = 2
_NUMBER = "selected_row_number"


@dataclass(frozen=True, slots=True)
class SelectedRows:
    """The kept rows of a recipe as they were when asked for: `numbers` has row_number and rank, in the dataset's
    order; 16 bytes a row. `scored` is what scores are read from, and `scores` their names."""

    store: Store
    dataset_id: int
    scored: str
    scored_state: list[object]
    scores: tuple[str, ...]
    numbers: pa.Table

    @classmethod
    def of(cls, store: Store, selection: Selection) -> "SelectedRows":
        """The rows that a recipe keeps now: its ranking, as far as the cut. Raises as `ranking` does."""
        run = scored_run(store, selection.run)
        state = store.table_state(run.table)
        with ranking(store, selection, run) as ranked:
            cuts = cut(store, ranked, budgets(selection, run.totals))
            kept = " OR ".join(
                f"place BETWEEN {pool.before + 1} AND {cuts[name].place}" for name, pool in ranked.pools.items()
            )
            sql = f"SELECT row_number, rank FROM {ranked.table} WHERE {kept or 'false'} ORDER BY row_number"
            numbers = store.arrow(sql)
        return cls(store, store.dataset_id(run.dataset), run.table, state, run.score_columns, numbers)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self.numbers.num_rows)

    def chunks(self, columns: str, *made: str, with_scores: bool = False) -> Iterator[pa.Table]:
        """Columns of the kept rows, chunk by chunk in their order.

        `columns` is SQL over row_number, rank, original, `text` (the original as text, NULL where it is none), the
        columns that `made` adds to them step by step, and `with_scores` the domain, token_count, scores and flags.
        Raises `ExportFailed` if rows have gone meanwhile, or were scored anew while their scores were read.
        """
        sql = self._sql(columns, made, with_scores)
        pending: deque[Future[pa.Table]] = deque()
        asked, row_bytes = 0, CHUNK_BYTES / FIRST_ROWS
        with ThreadPoolExecutor(_AHEAD, thread_name_prefix="selected-rows") as readers:
            while asked < self.count or pending:
                while asked < self.count and len(pending) <= _AHEAD:
                    size = max(1, min(_MOST_ROWS, int(CHUNK_BYTES / row_bytes)))
                    pending.append(readers.submit(self._read, sql, self.numbers.slice(asked, size)))
                    asked += size
                chunk = pending.popleft().result()
                row_bytes = max(1.0, chunk.nbytes / chunk.num_rows)
                yield chunk
        if with_scores and self.store.table_state(self.scored) != self.scored_state:
            raise ExportFailed("The dataset was scored again while it was exported. Export again.")

    def originals(self, column: str) -> Iterator[pa.Array]:
        """A column made (by SQL) of the `original` of the kept rows alone, in their order, a few rows at a time.

        Raises `ExportFailed` if rows have gone meanwhile.
        """
        done = 0
        for batch in self._streamed(column):
            wanted = self.numbers["row_number"].slice(done, batch.num_rows)
            if not pa.chunked_array([batch["row_number"]]).equals(wanted):
                break  # rows lie in another order, or have gone, which the chunks find out
            done += batch.num_rows
            yield batch["line"]
        rest = replace(self, numbers=self.numbers.slice(done))
        for chunk in rest.chunks(f"{column} AS line"):
            yield from chunk["line"].chunks

    def _streamed(self, column: str) -> Iterator[pa.RecordBatch]:
        """The rows as they lie in the table, which is as they were imported, mostly: nothing is joined or sorted."""
        if not self.count:
            return
        first, last = (self.numbers["row_number"][place].as_py() for place in (0, -1))
        kept = np.zeros(last - first + 1, np.uint8)
        kept[self.numbers["row_number"].to_numpy() - first] = ord("1")
        kept[kept == 0] = ord("0")
        sql = f"""
            SELECT row_number, {column} AS line FROM dataset_row
            WHERE dataset_id = ? AND row_number BETWEEN ? AND ? AND get_bit(?::BIT, (row_number - ?)::INTEGER) = 1
        """
        values = [self.dataset_id, first, last, kept.tobytes().decode("ascii"), first]
        yield from self.store.batches(sql, values, _STREAMED_ROWS)

    def first(self, count: int) -> "SelectedRows":
        """The same without what comes after the first `count` rows."""
        return replace(self, numbers=self.numbers.slice(0, count))

    def _read(self, sql: str, numbers: pa.Table) -> pa.Table:
        first, last = (numbers["row_number"][place].as_py() for place in (0, -1))
        found = self.store.arrow(sql, [self.dataset_id, first, last], kept=numbers)
        if found.num_rows != numbers.num_rows:
            raise ExportFailed("The dataset was changed while it was exported. Export again.")
        # Cheaper than to have wide rows sorted that are in order already, mostly.
        if not found[_NUMBER].equals(numbers["row_number"]):
            found = found.sort_by(_NUMBER)
        return found.drop_columns([_NUMBER])

    def _sql(self, columns: str, made: tuple[str, ...], with_scores: bool) -> str:
        scored = f"JOIN {self.scored} s ON s.row_number = k.row_number" if with_scores else ""
        scores = "".join(f", s.{column}" for column in (*self.scores, "token_count", "domain", *FLAGS))
        sql = f"""
            SELECT k.row_number, k.rank, r.original, TRY(decode(r.original)) AS text{scores if with_scores else ""}
            FROM kept k JOIN dataset_row r ON r.row_number = k.row_number {scored}
            WHERE r.dataset_id = ? AND r.row_number BETWEEN ? AND ?
        """
        for step in made:
            sql = f"SELECT *, {step} FROM ({sql})"
        return f"SELECT {columns}, row_number AS {_NUMBER} FROM ({sql})"
