"""Reads a file's rows in blocks for the store; pieces of a large JSONL file in several processes (`block_process`),
because parsing and hashing hold Python's lock, and threads would wait for each other."""

import os
import pickle
import subprocess
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue
from typing import IO, BinaryIO, cast

from ..data import settings
from ..data.row_blocks import BLOCK_ROWS, RowBlock, row_blocks
from ..system.program import HOME, module_command
from .detection import Detection
from .json_records import longest_line, skip_line
from .row_reading import Reading, read_lines, reading_of, rows_of
from .source_options import SourceOptions
from .unpacking import open_unpacked

_LEAST_BYTES = 64 * 2**20
"""A smaller file is read before processes have started."""
_MOST_PROCESSES = 4
"""More would wait for the store, which inserts in about a third of the time that one of them reads."""
_PIECE_BYTES, _CHUNK_BYTES = 32 * 2**20, 2**16


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines of a file; `first` is the number of the first one."""

    first: int
    content: bytes

    def blocks(self, reading: Reading) -> list[RowBlock]:
        """Its rows."""
        return list(read_lines(BytesIO(self.content), reading, self.first))


def read_blocks(
    path: Path, options: SourceOptions, detection: Detection | None = None
) -> Generator[RowBlock, None, None]:
    """The rows of `read_examples` in column-wise blocks: a fast path for plain JSONL records.

    `detection` is what `detect_format` found in it, if that was called already. Raises `SourceUnreadable` like it.
    """
    reading = reading_of(path, options, detection)
    if reading.container != "jsonl" or (reading.source_format and reading.source_format.join):
        with closing(rows_of(path, reading)) as records:
            yield from row_blocks(records)
        return
    processes = _processes_for(path)
    with open_unpacked(path) as stream:
        if processes < 2:
            yield from read_lines(stream, reading)
        else:
            yield from _BlockProcesses(reading, processes).blocks(_pieces(stream))


def _processes_for(path: Path) -> int:
    """How many processes read a JSONL file; with 1 it is read in this one."""
    if wanted := settings.integer("import_processes"):
        return wanted
    if path.stat().st_size < _LEAST_BYTES:
        return 1
    # Those that this process may use, where the system says so; one of them is for the store.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(_MOST_PROCESSES, cores - 1))


def _pieces(stream: BinaryIO) -> Iterator[Piece]:
    """The lines of a stream in pieces, each of at most a block. Of a line that is too long a piece has only as much
    as shows that."""
    first, lines, content = 1, 0, bytearray()
    for chunk in _whole_lines(stream):
        found = chunk.count(b"\n") + (not chunk.endswith(b"\n"))
        if content and (lines + found > BLOCK_ROWS or len(content) + len(chunk) > _PIECE_BYTES):
            yield Piece(first, bytes(content))
            first, lines = first + lines, 0
            content.clear()
        lines += found
        content += chunk
    if content:
        yield Piece(first, bytes(content))


def _whole_lines(stream: BinaryIO) -> Iterator[bytes]:
    most = longest_line()
    while chunk := stream.read(_CHUNK_BYTES):
        rest = b"" if chunk.endswith(b"\n") else stream.readline(most)
        if len(rest) == most and not rest.endswith(b"\n"):
            skip_line(stream, rest)
            rest += b"\n"
        yield chunk + rest


class _BlockProcesses:
    """So many processes, each of which reads one piece at a time. What one does not read because it ended, a thread of
    this process does."""

    def __init__(self, reading: Reading, count: int) -> None:
        self._reading = reading
        self._ended = False
        self._processes = [
            subprocess.Popen(
                module_command("importing.block_process"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=HOME,
                start_new_session=True,  # so that Ctrl-C prints no traceback of a child
            )
            for _ in range(count)
        ]
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        for process in self._processes:
            self._idle.put(process)

    def blocks(self, pieces: Iterable[Piece]) -> Iterator[RowBlock]:
        """The blocks of the pieces, in order; no process is left when this ends."""
        threads = ThreadPoolExecutor(len(self._processes), thread_name_prefix="block-reader")
        under_way: deque[Future[list[RowBlock]]] = deque()
        try:
            for piece in pieces:
                under_way.append(threads.submit(self._read, piece))
                if len(under_way) > len(self._processes):  # no more, because each takes memory
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        finally:
            self._ended = True
            for process in self._processes:
                process.kill()
            threads.shutdown(cancel_futures=True)
            for process in self._processes:
                process.communicate()

    def _read(self, piece: Piece) -> list[RowBlock]:
        process = self._idle.get()
        try:
            asked, answers = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
            pickle.dump((self._reading, piece), asked)
            asked.flush()
            found: list[RowBlock] = pickle.load(answers)
            return found
        except (OSError, EOFError, pickle.UnpicklingError):  # it was killed, perhaps in the middle of its answer
            return [] if self._ended else piece.blocks(self._reading)
        finally:
            self._idle.put(process)
