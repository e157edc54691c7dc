"""Scores every order of the options of a dataset's multiple-choice rows under a base and a reference, and compares how
often the original order is the likeliest."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from math import isfinite, nan
from typing import Any

import pyarrow as pa

from ..data.errors import NoUsableRows
from ..data.examples import DatasetRow, Example
from ..evidence.option_orders import ChoiceRow, OrderDifference, choice_row, order_difference
from ..scoring.planning import ScoreRequest
from ..store import Store
from .evaluation import evaluate
from .running import Wait

_TOO_LONG, _NOT_SCORED = "longer than the maximum length", "an order has no loss"


@dataclass(frozen=True, slots=True)
class Leakage:
    """The comparison, the rows that were left out by reason, and the texts that were scored."""

    found: OrderDifference
    left_out: dict[str, int]
    texts: int
    computed: int

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields."""
        return {**asdict(self.found), "left_out": self.left_out, "texts": self.texts, "computed": self.computed}


def option_order_leakage(
    store: Store, dataset: str, base: str, reference: str, wait: Wait, rows: int | None = None, device: str = "auto"
) -> Leakage:
    """Compare how often base and reference find the original order of the options the likeliest, on the first `rows`
    multiple-choice rows of a dataset. The texts, as they are (template "plain"), are kept as a dataset of their own, so
    their losses are cached and resumed as any other.

    Raises `NoUsableRows` if no row can be tested, and what `evaluate` raises.
    """
    questions, left_out = _questions(store, dataset, rows)
    if not questions:
        reasons = "; ".join(f"{reason}: {count:,}" for reason, count in left_out.items())
        raise NoUsableRows(
            f"No row of {dataset!r} is a multiple-choice question that can be tested ({reasons}). Its options must "
            "stand on lines A., B. and so on in the prompt, and the reply must name one of them."
        )
    orders = [[str(example.example_id) for example in row.orders()] for row in questions]
    asked = _add_orders(store, f"{dataset} option orders", questions)
    request = ScoreRequest(asked, base, base, template="plain", device=device)
    every = sorted({example_id for each in orders for example_id in each})
    texts, nats, computed = len(every), [], 0
    for model in (base, reference):
        losses, report = evaluate(store, replace(request, reference=model), wait, every)
        computed += report["computed"]
        sums = losses["nll_sum"] - losses["end_nll_sum"].fillna(0.0)
        nats.append(dict(zip(losses["example_id"], sums, strict=True)))
    truncated = _truncated(store, every)
    tested = []
    for question, ids in zip(questions, orders, strict=True):
        if not truncated.isdisjoint(ids):
            left_out[_TOO_LONG] += 1
        elif not all(isfinite(sums.get(example_id, nan)) for sums in nats for example_id in ids):
            left_out[_NOT_SCORED] += 1
        else:
            tested.append((question.chance, *(_is_likeliest(sums, ids) for sums in nats)))
    if not tested:
        raise NoUsableRows(f"No multiple-choice row of {dataset!r} has a loss in every order. Raise LOBASS_MAX_LENGTH.")
    chances, of_base, of_reference = zip(*tested, strict=True)
    return Leakage(order_difference(of_base, of_reference, chances), dict(left_out), texts, computed)


def _truncated(store: Store, example_ids: list[str]) -> set[str]:
    """Those of the texts that a model saw cut."""
    sql = """
        SELECT DISTINCT example_id::VARCHAR FROM loss
        WHERE truncated AND example_id IN (SELECT example_id::UUID FROM wanted)
    """
    wanted = pa.table({"example_id": pa.array(example_ids, pa.string())})
    return set(store.arrow(sql, wanted=wanted)[0].to_pylist())


def _is_likeliest(nats: dict[str, float], ids: list[str]) -> bool:
    original, *others = (nats[example_id] for example_id in ids)
    return all(original < other for other in others)


def _questions(store: Store, dataset: str, rows: int | None) -> tuple[list[ChoiceRow], Counter[str]]:
    """The questions that can be tested, each once, and why others cannot."""
    sql = """
        SELECT conversation FROM example JOIN (
            SELECT example_id, min(row_number) AS place FROM dataset_row WHERE dataset_id = ? GROUP BY example_id
        ) USING (example_id) ORDER BY place
    """
    found: dict[ChoiceRow, None] = {}
    left_out: Counter[str] = Counter()
    for batch in store.batches(sql, [store.dataset_id(dataset)]):
        for conversation in batch["conversation"].to_pylist():
            if rows is not None and len(found) >= rows:
                return list(found), left_out
            row = choice_row(Example.from_json(conversation))
            objection = "not multiple choice" if row is None else row.objection
            if objection:
                left_out[objection] += 1
            elif row:
                found[row] = None
    return list(found), left_out


def _add_orders(store: Store, name: str, questions: list[ChoiceRow]) -> str:
    """Add all orders as a dataset; the same questions add nothing."""

    def records() -> Iterator[DatasetRow]:
        number = 0
        for question in questions:
            for example in question.orders():
                number += 1
                yield DatasetRow(number, "option orders", example, example.to_json().encode())

    digest = hashlib.sha256(repr(questions).encode()).hexdigest()
    store.add_source(name, "option orders", "jsonl", digest, {}, records())
    return name
