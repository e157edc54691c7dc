"""Holds the files of a model to the hashes that a job was planned with: before they are loaded, and while it runs.

A folder may get other weights between the planning of a job and its start, or while it runs; their losses would be kept
as those of the first weights. Contents are read when a file is first seen, and when its state has changed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from ..data.errors import ModelChanged, ModelUnusable
from .cache_key import TOKENIZER_FILES
from .folder_check import loss_files
from .known_hashes import file_state
from .resolving import ModelSpec, hash_of_weights, tokenizer_files, tokenizer_fingerprint
from .sentence_folders import hash_of_sentence_model, sentence_files

_TOKENIZER = "tokenizer or chat template"
FileStates = tuple[tuple[object, ...], ...]


class UnchangedModel:
    """A model's weights and, with a `tokenizer` (its fingerprint), the files that make its tokens."""

    def __init__(self, spec: ModelSpec, tokenizer: str | None = None) -> None:
        self._spec, self._tokenizer = spec, tokenizer
        self._checked: FileStates | None = None

    def check(self) -> FileStates:
        """Raise `ModelChanged` unless the files are those that the hashes were made of; returns their states."""
        states = self.states()
        if states == self._checked:
            return states
        try:
            found = self._found_hash()
        except (OSError, ModelUnusable) as error:
            raise _changed(self._spec, "weights") from error
        if found != self._spec.weights_hash:
            raise _changed(self._spec, "weights")
        if self._tokenizer is not None and tokenizer_fingerprint(self._spec) != self._tokenizer:
            raise _changed(self._spec, _TOKENIZER)
        # A file that changes while it is read has another state afterwards, and is read again.
        self._checked = states
        return states

    def states(self) -> FileStates:
        """The states of the files as they are now."""
        return _states(self._spec, self._tokenizer is not None)

    def _found_hash(self) -> str:
        return hash_of_weights(Path(self._spec.path), self._spec.adapter)

    @contextmanager
    def while_read(self) -> Iterator[None]:
        """Check the files before and after they are read in this context. Raises `ModelChanged`, also if they were
        changed meanwhile and put back: what was read of them is unknown."""
        before = self.check()
        yield
        if self.states() != before:
            raise _changed(self._spec, "weights")


class UnchangedSentenceModel(UnchangedModel):
    """A sentence-embedding model: all its files."""

    def states(self) -> FileStates:
        """As of any model; none if its modules can no longer be read."""
        try:
            return tuple(map(_state, sentence_files(Path(self._spec.path))))
        except ModelUnusable:
            return ()

    def _found_hash(self) -> str:
        return hash_of_sentence_model(Path(self._spec.path))


@cache
def unchanged_model(spec: ModelSpec, tokenizer: str | None = None) -> UnchangedModel:
    """The same for every caller of this process, so that large files are read once."""
    return UnchangedModel(spec, tokenizer)


@cache
def unchanged_sentence_model(spec: ModelSpec) -> UnchangedSentenceModel:
    """The same for every caller of this process, so that large files are read once."""
    return UnchangedSentenceModel(spec)


@contextmanager
def unchanged(spec: ModelSpec) -> Iterator[None]:
    """Check a model's weights before and after they are read in this context, as `while_read` does."""
    with unchanged_model(spec).while_read():
        yield


@contextmanager
def unchanged_tokenizer(spec: ModelSpec, fingerprint: str | None) -> Iterator[None]:
    """The same for the files that make a model's tokens; without a fingerprint, nothing is checked."""
    before = [_state(path) for path in tokenizer_files(Path(spec.path))]
    if fingerprint is not None and tokenizer_fingerprint(spec) != fingerprint:
        raise _changed(spec, _TOKENIZER)
    yield
    if fingerprint is not None and [_state(path) for path in tokenizer_files(Path(spec.path))] != before:
        raise _changed(spec, _TOKENIZER)


def _states(spec: ModelSpec, with_tokenizer: bool) -> FileStates:
    folder = Path(spec.path)
    files = loss_files(folder)
    if spec.adapter:
        files += loss_files(Path(spec.adapter), is_adapter=True)
    if with_tokenizer:
        files += [*(folder / name for name in TOKENIZER_FILES), *tokenizer_files(folder)]
    return tuple(_state(path) for path in files)


def _state(path: Path) -> tuple[object, ...]:
    try:
        return (str(path), *file_state(os.stat(path)))
    except FileNotFoundError:
        return (str(path),)


def _changed(spec: ModelSpec, what: str) -> ModelChanged:
    return ModelChanged(
        f"The {what} of the model {spec.label!r} changed since this was started: {spec.adapter or spec.path} no longer "
        "holds the same files. What was computed with the earlier files is kept. Put them back, or start again to use "
        "the files that are there now."
    )
