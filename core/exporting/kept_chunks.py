"""The kept rows in the dataset's order, read in chunks of bounded size, the next ones while one is written."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from core.errors import ExportFailed
from core.scores import FLAGS, SCORES
from core.selection import Selection, kept_rows
from core.store import Store

CHUNK_BYTES = 2**25
"""About what a chunk's rows take, going by the chunk before."""
FIRST_ROWS = 1024
_MOST_ROWS = 2**16
_AHEAD = 2


@dataclass(frozen=True, slots=True)
class KeptRows:
    """The kept rows of a recipe as they were when asked for: `numbers` has row_number and rank, in the dataset's
    order; 16 bytes a row. `scored` is what scores are read from."""

    store: Store
    dataset_id: int
    scored: str
    scored_state: list[object]
    numbers: pa.Table

    @classmethod
    def of(cls, store: Store, selection: Selection) -> "KeptRows":
        """The rows that a recipe keeps now. Raises as `kept_rows` does."""
        run = store.run(selection.run)
        sql, values = kept_rows(store, selection)
        state = store.table_state(run["table"])
        numbers = store.arrow(f"SELECT row_number, rank FROM ({sql}) ORDER BY row_number", values)
        return cls(store, store.dataset_id(run["dataset"]), run["table"], state, numbers)

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
        with ThreadPoolExecutor(_AHEAD, thread_name_prefix="kept-rows") as readers:
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

    def first(self, count: int) -> "KeptRows":
        """The same without what comes after the first `count` rows."""
        return KeptRows(self.store, self.dataset_id, self.scored, self.scored_state, self.numbers.slice(0, count))

    def _read(self, sql: str, numbers: pa.Table) -> pa.Table:
        first, last = (numbers["row_number"][place].as_py() for place in (0, -1))
        found = self.store.arrow(sql, [self.dataset_id, first, last], kept=numbers)
        if found.num_rows != numbers.num_rows:
            raise ExportFailed("The dataset was changed while it was exported. Export again.")
        return found

    def _sql(self, columns: str, made: tuple[str, ...], with_scores: bool) -> str:
        scored = f"JOIN {self.scored} s ON s.row_number = k.row_number" if with_scores else ""
        scores = "".join(f", s.{column}" for column in (*SCORES, "token_count", "domain", *FLAGS))
        sql = f"""
            SELECT k.row_number, k.rank, r.original, TRY(decode(r.original)) AS text{scores if with_scores else ""}
            FROM kept k JOIN dataset_row r ON r.row_number = k.row_number {scored}
            WHERE r.dataset_id = ? AND r.row_number BETWEEN ? AND ?
        """
        for step in made:
            sql = f"SELECT *, {step} FROM ({sql})"
        return f"SELECT {columns} FROM ({sql}) ORDER BY row_number"
