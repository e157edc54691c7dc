"""Rows as texts, and their vectors by a loaded sentence-embedding model, batch by batch."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.errors import ModelUnusable
from ...data.examples import Example
from ...engine.batch_budget import BatchBudget
from ...engine.embedding_engine import BatchVectors
from ...engine.packing import plan_batches
from ...jobs.example_chunks import Chunk, ExampleFile
from .row_text import row_text

_NO_LIMIT = 2**31 - 1
_STEP = 256
"""Rows between two checks whether the job should stop."""


@dataclass(frozen=True, slots=True)
class TextRow:
    """A row's text, how many tokens it has, and the places of those that the model reads."""

    text: str
    token_count: int
    input_ids: range

    @property
    def reason(self) -> str | None:
        """Why the row has no vector, if it has none."""
        return None if self.token_count else "no text"


class SentenceEmbedder:
    """Vectors of rows by `model` (sentence_transformers.SentenceTransformer), named `label` for people.

    `check` is called regularly and may raise; `report` gets a line when GPU memory runs out.
    """

    def __init__(
        self,
        model: Any,
        label: str,
        max_length: int | None,
        token_budget: int,
        report: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        self._model, self._label, self._max_length, self._check = model, label, max_length, check
        self._prompt = str(model.prompts.get(model.default_prompt_name, ""))
        self._budget = BatchBudget(token_budget, report)
        self.width = int(self._encode(["a"]).shape[1])

    def encoded(
        self, examples: ExampleFile, chunks: Iterable[Chunk]
    ) -> Generator[tuple[Chunk, list[TextRow]], None, None]:
        """Each chunk with its rows, in order."""
        for chunk in chunks:
            rows: list[TextRow] = []
            for group in examples.read(chunk):
                for start in range(0, len(group), _STEP):
                    self._check()
                    rows += self.rows(group[start : start + _STEP])
            yield chunk, rows

    def rows(self, examples: Sequence[Example]) -> list[TextRow]:
        """The examples as texts with their tokens; none where there is no text."""
        texts = [row_text(example) for example in examples]
        counts = iter(self._token_counts([self._prompt + text for text in texts if text]))
        found = [next(counts) if text else 0 for text in texts]
        longest = max(found, default=0) if self._max_length is None else self._max_length
        return [TextRow(text, count, range(min(count, longest))) for text, count in zip(texts, found, strict=True)]

    def vectors(self, rows: Sequence[TextRow], wanted: Sequence[int]) -> Iterator[BatchVectors]:
        """Vectors of the `wanted` rows, by their index, batch by batch. Raises `ModelUnusable` for a vector that is not
        finite, or if one row alone does not fit."""
        return self._budget.computed(rows, wanted, lambda left, budget: self._batches(rows, left, budget))

    def _batches(self, rows: Sequence[TextRow], wanted: Sequence[int], budget: int) -> Iterator[BatchVectors]:
        for batch in plan_batches([len(rows[row].input_ids) for row in wanted], budget):
            places = tuple(wanted[index] for index in batch.rows)
            vectors = self._encode([rows[row].text for row in places])
            if unsound := int((~np.isfinite(vectors).all(axis=1)).sum()):
                raise ModelUnusable(
                    f"The model {self._label!r} gives {unsound:,} of {len(places):,} rows a vector with NaN or "
                    "infinity. Choose another model."
                )
            yield BatchVectors(places, vectors, sum(len(rows[row].input_ids) for row in places))

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        found = self._model.encode(list(texts), batch_size=len(texts), show_progress_bar=False)
        return np.asarray(found, np.float32)

    def _token_counts(self, texts: list[str]) -> list[int]:
        """How many tokens each text has before it is cut."""
        tokenizer = self._model.tokenizer
        if not texts:
            return []
        if hasattr(tokenizer, "encode_batch"):  # that of static embeddings, which cuts by its own file
            encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
            return [len(each.ids) + sum(len(more.ids) for more in each.overflowing) for each in encodings]
        # A limit that no row reaches: without one, transformers warns of each model's own.
        found = tokenizer(texts, truncation=True, max_length=_NO_LIMIT, padding=False)
        return [len(ids) for ids in found["input_ids"]]
