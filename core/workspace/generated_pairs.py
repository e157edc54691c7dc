"""Preference pairs from demonstrations: a dataset's own replies are chosen, responses of a base to the same prompts are
rejected (arXiv 2405.17888). They become a dataset of their own, as if a file of pairs had been imported."""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..data.errors import NameTaken, NotFound, NoUsableRows
from ..data.examples import DatasetRow, Example, Message, Rejected
from ..data.listing import counted
from ..encoding.template_turns import chat_messages, template_turn
from ..exporting.manifest import sources_of
from ..exporting.message_form import USUAL_FORM
from ..importing.source_options import DomainRule, SourceOptions
from ..importing.turn_weights import as_context
from ..jobs.job import Job
from ..scoring.generation.response_jobs import Sampling, read_responses, responses_digest
from ..store import Store
from ..store.store import DATASET_KEY

_ROWS = """
    WITH first AS (
        SELECT example_id, min(row_number) AS line, arg_min(domain, row_number) AS domain FROM dataset_row
        WHERE dataset_id = ? GROUP BY example_id
    ),
    answered AS (SELECT * REPLACE (example_id::UUID AS example_id) FROM responses)
    SELECT line, domain, conversation, text, reason, detail
    FROM first JOIN answered USING (example_id) JOIN example USING (example_id) ORDER BY line
"""
"""The rows that were answered, each example once, in the dataset's order."""


def origin_sentences(store: Store, dataset: str) -> list[str]:
    """Where a dataset's generated pairs come from, a sentence for each of its sources that has some."""
    origins = [source["options"].get("origin") or {} for source in sources_of(store, dataset)]
    return [
        f"Chosen: replies of dataset {origin['responses_to']}. Rejected: responses of {origin['base']} "
        f"({origin['sampling']}); {int(origin['cut']):,} were cut. Sampling key: {origin['key']}."
        for origin in origins
        if "responses_to" in origin
    ]


def is_made_of(store: Store, name: str, work: str) -> bool:
    """Whether the dataset of that name is made of these very responses. Raises `NameTaken` if it is another one."""
    if not store.rows("SELECT 1 FROM dataset WHERE name = ?", [name]):
        return False
    if source_of_work(store, name, work):
        return True
    raise NameTaken(f"A dataset named {name!r} exists already, and is not of these responses. Choose another name.")


def source_of_work(store: Store, dataset: str, work: str) -> dict[str, Any] | None:
    """The source, as of `sources_of`, that has the pairs of a job's work; None if the dataset has none."""
    found = (
        source for source in sources_of(store, dataset) if (source["options"].get("origin") or {}).get("work") == work
    )
    return next(found, None)


def save_generated_pairs(store: Store, job: Job) -> None:
    """Make the dataset of a finished job; repeating changes nothing. Raises `NotFound` if its rows are gone or give no
    pair, `NameTaken` if another dataset has got the name meanwhile."""
    request, responses = job.request, read_responses(job)
    dataset = request["dataset"]
    store.check_same_dataset(dataset, request[DATASET_KEY])
    if is_made_of(store, request["name"], request["work"]):
        return
    origin = {
        "responses_to": dataset,
        "base": request["base"]["label"],
        "sampling": Sampling(**request["sampling"]).sentence(),
        "cut": str(pc.sum(responses["is_cut"]).as_py() or 0),
        "key": request["key"],
        "work": request["work"],
    }
    options = SourceOptions("preference", DomainRule(field="domain"), origin=origin).to_fields()
    digest = responses_digest(request["work"], responses)
    rows = store.batches(_ROWS, [store.dataset_id(dataset)], responses=responses)
    try:
        store.add_source(request["name"], f"{dataset}-responses", "preference", digest, options, _records(rows))
    except NoUsableRows as error:  # not to be tried again and again
        raise NotFound(str(error)) from error


def _records(rows: Iterator[pa.RecordBatch]) -> Iterator[DatasetRow | Rejected]:
    """Pairs, chosen before rejected; `line` is the row's number in the dataset of demonstrations."""
    reasons: dict[str, int] = {}
    has_pair = False
    for row in (row for batch in rows for row in batch.to_pylist()):
        for record in _pair(row):
            if isinstance(record, Rejected):
                reasons[record.reason] = reasons.get(record.reason, 0) + 1
            has_pair = has_pair or not isinstance(record, Rejected)
            yield record
    if not has_pair:
        found = f" ({counted(reasons)})" if reasons else ""
        raise NoUsableRows(f"No prompt gave a pair{found}. Choose another base, sampling or maximum length.")


def _pair(row: dict[str, Any]) -> Iterator[DatasetRow | Rejected]:
    line, text = row["line"], row["text"]
    if text is None:
        yield Rejected(line, row["reason"], row["detail"])
        return
    example = Example.from_json(row["conversation"])
    *before, reply = example.turns
    if not text.strip():
        yield Rejected(line, "empty side", "the generated response is empty")
        return
    if text.strip() == reply.text.strip():
        yield Rejected(line, "equal sides")
        return
    asked, answer = tuple(map(as_context, before)), Message("assistant", text)
    original = _record(asked, reply, answer, example.tools, row["domain"])
    chosen, rejected = (Example((*asked, last), example.tools) for last in (reply, answer))
    yield DatasetRow(line, row["domain"], chosen, original, is_chosen=True)
    yield DatasetRow(line, row["domain"], rejected, original)


def _record(asked: tuple[Message, ...], chosen: Message, rejected: Message, tools: str, domain: str) -> bytes:
    """A pair as files of preference pairs have it."""
    turns = [template_turn(turn, i, USUAL_FORM) for i, (_, turn) in enumerate(chat_messages([*asked, chosen]))]
    fields = {
        "prompt": turns[:-1],
        "chosen": turns[-1:],
        "rejected": [template_turn(rejected, len(turns) - 1, USUAL_FORM)],
        **({"tools": tools} if tools else {}),
        "domain": domain,
    }
    return json.dumps(fields, ensure_ascii=False).encode()
