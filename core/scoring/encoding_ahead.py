"""Tokenises the next chunks in separate processes while a model scores this one, so that the GPU never waits.

    python -m core.scoring.encoding_ahead JOB_DIR NAME   the numbers of groups on stdin, a line when a chunk is written

Processes instead of threads: templates run Python and would hold the GIL needed to feed the GPU. A process ends with
its parent, because the pipe closes.
"""

import json
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..data.encoded import Encoded
from ..encoding.encode import FOLDED_SYSTEM, encode_examples
from ..encoding.encoding_spec import EncodingSpec
from ..jobs.example_chunks import Chunk, ExampleFile
from ..jobs.job import Job
from ..models.resolving import ModelSpec
from ..system.program import HOME, module_command
from .encoded_chunks import read_encoded_chunk, write_encoded_chunk

_STEP = 256
"""Rows between two checks whether the job should stop."""


class ChunkEncoder:
    """Encodes chunks of one of a job's example files; chunks already in the job's folder are read from there."""

    def __init__(self, job: Job, examples: ExampleFile, check: Callable[[], None] = lambda: None) -> None:
        from ..models.loading import load_tokenizer

        request = job.request
        self._job, self._examples, self._check = job, examples, check
        self._spec = EncodingSpec(**request["encoding"])
        self._tokenizer = load_tokenizer(ModelSpec(**request["base"]), self._spec.tokenizer_fingerprint)
        self._said = False

    def encode(self, chunk: Chunk) -> list[Encoded]:
        """The chunk's rows, in order; `check` is called regularly and may raise."""
        encoded: list[Encoded] = []
        for examples in self._examples.read(chunk):
            for start in range(0, len(examples), _STEP):
                self._check()
                encoded += encode_examples(examples[start : start + _STEP], self._tokenizer, self._spec)
        if not self._said and any(row.folded_system for row in encoded):
            self._job.add_notice(FOLDED_SYSTEM)
            self._said = True
        return encoded


def encoded_path(job: Job, examples: ExampleFile, chunk: Chunk) -> Path:
    """Path of an encoded chunk."""
    return job.folder / "encoded" / f"{examples.name}-{chunk.name}.arrow"


class EncoderProcesses:
    """`count` processes that encode ahead; with 0, chunks are encoded when they are needed."""

    def __init__(self, job: Job, examples: ExampleFile, count: int, check: Callable[[], None]) -> None:
        self._job, self._examples, self._check = job, examples, check
        self._own: ChunkEncoder | None = None
        command = module_command("scoring.encoding_ahead", str(job.folder), examples.name)
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HOME) for _ in range(count)
        ]

    def __enter__(self) -> "EncoderProcesses":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()

    def encoded(self, chunks: Iterable[Chunk], keep: bool) -> Iterator[tuple[Chunk, list[Encoded]]]:
        """Each chunk with its rows, in order. With `keep` they stay in the job's folder for the other model."""
        if not self._processes:
            for chunk in chunks:
                yield chunk, self._encode_here(chunk, keep)
            return
        under_way: deque[tuple[Chunk, subprocess.Popen[bytes]]] = deque()
        for turn, chunk in enumerate(chunks):
            process = self._processes[turn % len(self._processes)]
            _ask(process, chunk)
            under_way.append((chunk, process))
            if len(under_way) > len(self._processes):
                yield self._finished(*under_way.popleft(), keep)
        while under_way:
            yield self._finished(*under_way.popleft(), keep)

    def _finished(self, chunk: Chunk, process: subprocess.Popen[bytes], keep: bool) -> tuple[Chunk, list[Encoded]]:
        assert process.stdout is not None
        process.stdout.readline()  # empty if the process died: its chunk is then missing, and encoded here
        return chunk, self._encode_here(chunk, keep)

    def _encode_here(self, chunk: Chunk, keep: bool) -> list[Encoded]:
        """Read a chunk from the folder, or encode it in this process."""
        path = encoded_path(self._job, self._examples, chunk)
        rows = read_encoded_chunk(path)
        if rows is None:
            self._own = self._own or ChunkEncoder(self._job, self._examples, self._check)
            rows = self._own.encode(chunk)
            if keep:
                write_encoded_chunk(path, rows)
        if not keep:
            path.unlink(missing_ok=True)
        return rows


def _ask(process: subprocess.Popen[bytes], chunk: Chunk) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps([chunk.first_group, chunk.end_group, chunk.start, chunk.end]).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return  # it died; its chunk is encoded in this process


def main(arguments: list[str]) -> int:
    """Encode the chunks requested on stdin until it closes."""
    job = Job(Path(arguments[0]))
    examples = ExampleFile(job.folder / f"{arguments[1]}.parquet")
    encoder: Any = None
    for line in sys.stdin:
        chunk = Chunk(*json.loads(line))
        path = encoded_path(job, examples, chunk)
        if read_encoded_chunk(path) is None:
            encoder = encoder or ChunkEncoder(job, examples)
            write_encoded_chunk(path, encoder.encode(chunk))
        sys.stdout.write("\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
