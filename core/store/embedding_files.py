"""Embeddings beside the store: Arrow files of example ids and vectors, keyed as losses are.

    embeddings/KEY/about.json    what the vectors are of: model (or file), encoding, dimensions, seed
    embeddings/KEY/*.arrow       finished vectors; a file's name ends in the digest of its content

KEY is the digest of model, encoding, dimensions and seed, so vectors of another model never mix. A file appears whole
or not at all, and is never changed. The vectors of a million rows in 256 dimensions take 0.5 GB.
"""

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..data.errors import JsonInvalid, ModelUnusable, NotFound, StoreUnusable
from ..data.json_types import checked
from ..jobs.example_chunks import Ids
from ..system.atomic_files import linked_durably, write_durably
from ..system.untrusted_json import read_json_object
from ..system.workspace_files import EMBEDDINGS, make_private_folder

EMBEDDING_RULE = 1
# How a row becomes a vector. Raise it when the same row would get another one.
# 1: last hidden states, mean weighted by position from 1 over all tokens, signs of SHAKE-256 as projection, length 1.
MOST_DIMENSIONS = 256
OF_FILE = "file:"
"""Begins the model of vectors that were computed elsewhere and read from a file; its SHA-256 follows."""
OF_SENTENCE_MODEL = "sentence:"
"""Begins the model of vectors that a sentence-embedding model gives; the hash of its files follows."""
_ABOUT = "about.json"
_KEY, _TOKENS = b"embeddings", "tokens"
_FILE_ROWS = 65_536
Vectors = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class EmbeddingSpec:
    """Which embeddings: the fingerprints of model and encoding, the most dimensions, and the seed of the projection.
    `label`: the model's name, which is no part of the key. Of vectors from a file, `model` is `OF_FILE` and its
    SHA-256, `encoding` is the column and what its rows were joined by, `label` names the file. Of a sentence-embedding
    model, `model` is `OF_SENTENCE_MODEL` and the hash of its files, `encoding` says how a row becomes a text
    (`core.scoring.embeddings.row_text`), `label` is the model's name from any folder, and `truncated`, no part of
    the key either, counts the rows of the run's dataset of which only the first tokens were embedded."""

    model: str
    encoding: str
    dimensions: int
    seed: int
    label: str = ""
    rule: int = EMBEDDING_RULE
    truncated: int | None = None

    @property
    def key(self) -> str:
        """Hex digest of everything that the vectors depend on besides the rows."""
        fields = {name: value for name, value in asdict(self).items() if name not in ("label", "truncated")}
        return hashlib.blake2b(json.dumps(fields, sort_keys=True).encode(), digest_size=16).hexdigest()

    @property
    def is_of_file(self) -> bool:
        """Whether the vectors were computed elsewhere, so that no other rows can get one here."""
        return self.model.startswith(OF_FILE)

    @property
    def is_of_sentence_model(self) -> bool:
        """Whether a sentence-embedding model computed the vectors."""
        return self.model.startswith(OF_SENTENCE_MODEL)

    @property
    def options(self) -> str:
        """What the command that embeds a run's rows takes beside the run, to compute these; for a file's, the
        base's."""
        if self.is_of_file:
            return ""
        parts = [
            f" --sentence-model {shlex.quote(self.label)}" if self.is_of_sentence_model else "",
            f" --dimensions {self.dimensions}" if self.dimensions != MOST_DIMENSIONS else "",
            f" --seed {self.seed}" if self.seed else "",
        ]
        return "".join(parts)

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields."""
        return {name: value for name, value in asdict(self).items() if name != "truncated" or value is not None}


def embeddings_of_run(run: Mapping[str, Any]) -> EmbeddingSpec:
    """The embeddings that a run (`Store.run`) uses: those from a file, if these came last, else its base's of
    the usual dimensions and seed. Raises
    `ModelUnusable` as `base_embeddings` does."""
    return EmbeddingSpec(**run["embeddings"]) if run["embeddings"] else base_embeddings(run)


def base_embeddings(run: Mapping[str, Any], dimensions: int = MOST_DIMENSIONS, seed: int = 0) -> EmbeddingSpec:
    """The embeddings of a run's rows (`Store.run`) under its base. Raises `ModelUnusable` if it does not say which base
    it has."""
    description = run["description"]
    model = description.get("model_fingerprints", {}).get("base")
    if model is None or "encoding_fingerprint" not in description:
        raise ModelUnusable(f"The run {run['name']!r} does not say which models it has. Score its dataset here first.")
    label = str(description["models"]["base"]["label"])
    return EmbeddingSpec(str(model), str(description["encoding_fingerprint"]), dimensions, seed, label)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of some examples: `ids` and `vectors` [examples x dimensions], of length 1, or zeros for an example that
    has no token or whose states are not finite."""

    ids: Ids
    vectors: Vectors

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Mask of the examples that have a vector."""
        return np.asarray(self.vectors.any(axis=1), np.bool_)


def float_units(vectors: Vectors) -> NDArray[np.float32]:
    """The vectors in single precision, of length 1 to its precision: half precision is 0.05 % off. Zeros stay."""
    numbers = vectors.astype(np.float32)
    lengths = np.linalg.norm(numbers, axis=1, keepdims=True)
    return np.asarray(np.divide(numbers, lengths, out=numbers, where=lengths > 0), np.float32)


def write_vectors(
    folder: Path, prefix: str, key: str, ids: Ids, vectors: Vectors, tokens: NDArray[np.int32] | None = None
) -> Path:
    """Write one file of vectors durably; returns its path. `tokens`: how many each row has before it is cut to what the
    model reads, 0 for a row without a vector, where that is known."""
    dimensions = vectors.shape[1]
    columns = [
        pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(ids), [None, pa.py_buffer(ids.tobytes())]),
        pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dimensions),
    ]
    fields = [("example_id", pa.binary(16)), ("vector", pa.list_(pa.float16(), dimensions))]
    if tokens is not None:
        columns, fields = [*columns, pa.array(tokens)], [*fields, (_TOKENS, pa.int32())]
    schema = pa.schema(fields, metadata={_KEY: key.encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    content = sink.getvalue()
    return write_durably(folder / f"{prefix}-{_digest(content)}.arrow", [content.to_pybytes()])


def vector_files(folder: Path) -> list[Path]:
    """The files of vectors in a folder, oldest name first."""
    return sorted(folder.glob("*.arrow"))


def check_vectors(path: Path, key: str) -> int:
    """Number of vectors in a file. Raises `StoreUnusable` if its content is not what was written under its name, or of
    other embeddings than those of `key`."""
    with open(path, "rb") as file:
        if hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest() != path.stem[-32:]:
            raise _unusable(path, "it is damaged (its digest differs)")
    ids, vectors = _read(path, key)
    if not np.isfinite(vectors).all():
        raise _unusable(path, "it has vectors that are not numbers")
    return len(ids)


def adopt_vectors(workspace: Path, spec: EmbeddingSpec, path: Path) -> None:
    """Bring a job's file of vectors into the workspace, unless it is there. Raises `StoreUnusable` if it is damaged."""
    folder = embedding_folder(workspace, spec.key)
    if (folder / path.name).exists():
        return
    check_vectors(path, spec.key)
    _make_folder(workspace, spec)
    linked_durably(path, folder / path.name)  # the job's own takes no more room


def keep_vectors(workspace: Path, spec: EmbeddingSpec, prefix: str, ids: Ids, vectors: Vectors) -> None:
    """Write vectors into the workspace, in files of bounded size whose names begin with `prefix`."""
    folder = _make_folder(workspace, spec)
    for start in range(0, len(ids), _FILE_ROWS):
        part = slice(start, start + _FILE_ROWS)
        write_vectors(folder, f"{prefix}-{start:09d}", spec.key, ids[part], vectors[part])


def _make_folder(workspace: Path, spec: EmbeddingSpec) -> Path:
    folder = embedding_folder(workspace, spec.key)
    make_private_folder(folder)
    if not (folder / _ABOUT).exists():
        write_durably(folder / _ABOUT, [json.dumps(spec.to_fields(), indent=1).encode()])
    return folder


def embedding_folder(workspace: Path, key: str) -> Path:
    """Where the embeddings of a key are."""
    return workspace / EMBEDDINGS / key


def embedding_folders(workspace: Path) -> list[Path]:
    """The folders of all embeddings of a workspace."""
    return sorted(path for path in (workspace / EMBEDDINGS).glob("*") if path.is_dir())


def about_embeddings(folder: Path) -> EmbeddingSpec:
    """What the vectors of a folder are of. Raises `StoreUnusable` if its record is missing or another folder's."""
    path = folder / _ABOUT
    try:
        spec = checked(read_json_object(path), EmbeddingSpec, str(path))
    except (FileNotFoundError, JsonInvalid) as error:
        raise StoreUnusable(f"{path} cannot be read. Remove the folder, and embed again.") from error
    if spec.key != folder.name:
        raise StoreUnusable(f"{path} is that of other embeddings. Remove the folder, and embed again.")
    return spec


def ids_in(folder: Path, key: str) -> Ids:
    """Ids of the examples that have a vector in the files of a folder, sorted, each once."""
    files = vector_files(folder)
    return np.unique(np.concatenate([np.zeros(0, "S16"), *(_read(path, key)[0] for path in files)]))


def read_embeddings(workspace: Path, spec: EmbeddingSpec, ids: Ids, command: str) -> Embeddings:
    """The embeddings of these examples, in their order. Raises `NotFound`, naming the `command` that computes the
    base's, if some are missing."""
    vectors, found = vectors_in(embedding_folder(workspace, spec.key), spec.key, ids)
    if not found.all() or vectors is None:
        missing = len(ids) - int(found.sum())
        if spec.is_of_file:
            raise NotFound(
                f"{missing:,} of {len(ids):,} rows have no vector from {spec.label}. Import vectors of all rows (embed "
                f"--from), or compute the base's with: {command}"
            )
        raise NotFound(f"{missing:,} of {len(ids):,} rows have no embedding yet. Compute them with: {command}")
    return Embeddings(ids, vectors)


def vectors_in(folder: Path, key: str, ids: Ids) -> tuple[Vectors | None, NDArray[np.bool_]]:
    """The vectors of these examples in the files of a folder, in their order, zeros where there is none; None if there
    is no file. Beside them, which examples have one there."""
    order = np.argsort(ids)
    ordered = ids[order]
    found = np.zeros(len(ids), np.bool_)
    vectors: Vectors | None = None
    for path in vector_files(folder):
        of_file, values = _read(path, key)
        if vectors is None:
            vectors = np.zeros((len(ids), values.shape[1]), np.float16)
        if values.shape[1] != vectors.shape[1]:
            raise _unusable(path, f"its vectors have {values.shape[1]:,} dimensions, others {vectors.shape[1]:,}")
        places = np.searchsorted(ordered, of_file).clip(max=max(0, len(ids) - 1))
        mine = ordered[places] == of_file if len(ids) else np.zeros(len(of_file), np.bool_)
        rows = order[places[mine]]
        vectors[rows], found[rows] = values[mine], True
    return vectors, found


def token_counts(folder: Path, key: str, ids: Ids) -> NDArray[np.int32]:
    """How many tokens each of these examples has before it is cut, in their order, as far as the files of a folder say;
    0 for others."""
    order = np.argsort(ids)
    counts = np.zeros(len(ids), np.int32)
    for path in vector_files(folder):
        of_file, _ = _read(path, key)
        table = _table(path)
        if _TOKENS in table.column_names:
            places = np.searchsorted(ids, of_file, sorter=order).clip(max=max(0, len(ids) - 1))
            mine = ids[order[places]] == of_file if len(ids) else np.zeros(len(of_file), np.bool_)
            counts[order[places[mine]]] = table[_TOKENS].to_numpy()[mine]
    return counts


def _table(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all().combine_chunks()


def _read(path: Path, key: str) -> tuple[Ids, Vectors]:
    """Ids and vectors of a file, mapped and not read."""
    try:
        table = _table(path)
        made_for = (table.schema.metadata or {}).get(_KEY, b"").decode(errors="replace")
        ids, vectors = table["example_id"].chunk(0), table["vector"].chunk(0)
        width = vectors.type.list_size
        values = vectors.flatten().to_numpy(zero_copy_only=True).reshape(len(ids), width)
        packed = np.frombuffer(ids.buffers()[1], "S16", len(ids), ids.offset * 16)
    except (pa.ArrowException, ValueError, KeyError, IndexError, AttributeError) as error:
        raise _unusable(path, "it is not a file of vectors") from error
    if made_for != key or values.dtype != np.float16:
        raise _unusable(path, "its vectors are another model's")
    return packed, values


def _digest(content: Any) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _unusable(path: Path, why: str) -> StoreUnusable:
    return StoreUnusable(f"The embeddings {path} cannot be used: {why}. Remove the file, and embed again.")
