"""Imports vectors that were computed elsewhere: from then on, they are the embeddings of a run's rows."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..data.errors import NoUsableRows
from ..importing.row_keys import ROW
from ..importing.vector_files import VectorFile, read_vector_file
from ..jobs.example_chunks import packed_ids
from ..scoring.embeddings.embedding_jobs import check_dimensions, dataset_ids, embed_command
from ..scoring.embeddings.projection import projection, unit_vectors
from ..store import Store
from ..store.embedding_files import (
    MOST_DIMENSIONS,
    OF_FILE,
    EmbeddingSpec,
    embedding_folder,
    ids_in,
    keep_vectors,
)
from ..store.row_joins import JoinedFile, joined_rows

COLUMN = "vector"


@dataclass(frozen=True, slots=True)
class VectorRequest:
    """A person's request: the file, its column of vectors, and what its rows are joined by (`core.importing.row_keys`)
    to those of the run's dataset. `dimensions` and `seed`: of the projection of wider vectors."""

    run: str
    path: Path
    column: str = COLUMN
    joined_by: str = ROW
    key: str | None = None
    dimensions: int = MOST_DIMENSIONS
    seed: int = 0


def import_vectors(store: Store, request: VectorRequest) -> dict[str, Any]:
    """Let a run use the vectors of a file as the embeddings of its rows; those of its base are kept.

    Fields: run, dataset, file, key, dimensions, seed, width (of the file's vectors), examples (unique rows), embedded
    (those with a vector), without, unmatched (rows of the file that match no row) and repeated (rows of the file with a
    vector whose text an earlier such row has, whose vector counts). Raises `SourceUnreadable`, `NotFound`,
    `ModelUnusable` or `NoUsableRows`; nothing is changed then.
    """
    check_dimensions(request.dimensions)
    dataset = str(store.run(request.run)["dataset"])

    @cache
    def matrix(width: int) -> Any:
        return projection(width, request.dimensions, request.seed)

    found = read_vector_file(
        request.path,
        request.column,
        request.joined_by,
        lambda rows: unit_vectors(rows, matrix(rows.shape[1])),
        request.key,
    )
    given = pa.table({"key": found.keys, "place": np.arange(len(found.keys))})
    file = JoinedFile(found.name, request.joined_by, found.key is None)
    joined, unmatched = joined_rows(store, dataset, file, given)
    ids, place = dataset_ids(store, dataset), joined["place"].to_numpy()
    has_vector = np.asarray(found.vectors.any(axis=1))[place]
    if not has_vector.any():
        raise NoUsableRows(f"{found.name} has only zeros or no vector for the rows of {dataset!r}. Check its column.")
    place = place[has_vector]  # of rows with one text, the first that has a vector counts
    of_joined, first = np.unique(packed_ids(joined["example_id"].filter(pa.array(has_vector))), return_index=True)
    vectors = np.zeros((len(ids), found.vectors.shape[1]), np.float16)
    vectors[np.searchsorted(ids, of_joined)] = found.vectors[place[first]]
    spec = _spec(store, dataset, request, found)
    new = ~np.isin(ids, ids_in(embedding_folder(store.workspace, spec.key), spec.key))
    keep_vectors(store.workspace, spec, f"file-{found.sha256[:12]}", ids[new], vectors[new])
    store.use_embeddings(request.run, spec.to_fields())
    return {
        "run": request.run,
        "dataset": dataset,
        "file": spec.label,
        "key": spec.key,
        "dimensions": request.dimensions,
        "seed": request.seed,
        "width": found.width,
        "examples": len(ids),
        "embedded": len(of_joined),
        "without": len(ids) - len(of_joined),
        "unmatched": unmatched,
        "repeated": len(np.unique(place)) - len(np.unique(place[first])),
    }


def _spec(store: Store, dataset: str, request: VectorRequest, found: VectorFile) -> EmbeddingSpec:
    """What the vectors are of. With another dataset or key, the same file gives the rows other vectors."""
    joined = [found.column, request.joined_by, found.key, store.dataset_key(dataset)]
    label = f"{found.name}, column {found.column}" if found.column else found.name
    return EmbeddingSpec(OF_FILE + found.sha256, json.dumps(joined), request.dimensions, request.seed, label)


def vectors_sentence(report: dict[str, Any]) -> str:
    """What `import_vectors` did, for people."""
    return " ".join(_sentences(report))


def _sentences(report: dict[str, Any]) -> Iterator[str]:
    yield (
        f"Run {report['run']!r} uses the vectors of {report['file']} ({report['width']:,} numbers each) for "
        f"{report['embedded']:,} of {report['examples']:,} unique rows."
    )
    if report["without"]:
        yield f"{report['without']:,} have none: the file has zeros or nothing for them."
    if report["unmatched"]:
        yield f"{report['unmatched']:,} rows of the file match no row."
    if report["repeated"]:
        yield f"{report['repeated']:,} rows of the file have the text of an earlier one, whose vector counts."
    yield f"To use the base's again: {embed_command(report['run'])}"
