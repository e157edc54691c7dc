"""What exactly is scored, written out row by row, so that anyone can check it against their own trainer."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..data.errors import ExportFailed
from ..data.examples import Example
from ..encoding.encode import encode_and_render, token_roles
from ..encoding.encoding_spec import EncodingSpec
from ..models.resolving import resolve_model
from ..models.vocabulary import ReadableIds, readable_ids, without_unreadable
from ..scoring.planning import ScoreRequest, resolve_encoding
from ..store import Store
from ..system.durable_file import DurableFile
from ..system.workspace_files import check_output

_BATCH_ROWS = 250


def write_encoded(
    store: Store, request: ScoreRequest, rows: int | None, path: Path, workspace: Path | None = None
) -> int:
    """Write the first `rows` rows (all by default) of the request's dataset as its base reads them, as JSON lines;
    returns how many.

    A line holds example_id, input_ids, scored (0 or 1 a token), turns (of each token, the number from 0 of the turn
    whose text it is, null for what the template adds), roles (of that turn, or "template"), text (as rendered, before
    any cut), left_out (share of the scored replies that the template does not write), and reason (null, or why nothing
    of the row is scored). References are looked for in `workspace`, which is not the store's where that is a copy.
    """
    from ..models.loading import load_tokenizer

    check_output(path, store.workspace)
    base = resolve_model(request.base, workspace or store.workspace)
    encoding, _ = resolve_encoding(store, base, None, request)
    tokenizer, readable = load_tokenizer(base, encoding.tokenizer_fingerprint), readable_ids(base, base)
    batches = store.batches(
        """
        SELECT example_id::VARCHAR AS example_id, conversation FROM dataset_row JOIN example USING (example_id)
        WHERE dataset_id = ? ORDER BY row_number LIMIT ?
        """,
        [store.dataset_id(request.dataset), rows],
        _BATCH_ROWS,
    )
    count = 0
    try:
        with DurableFile(path) as file:
            for batch in batches:
                ids, conversations = (batch[name].to_pylist() for name in ("example_id", "conversation"))
                examples = [Example.from_json(conversation) for conversation in conversations]
                for example_id, fields in zip(
                    ids, _encoded_fields(examples, tokenizer, encoding, readable), strict=True
                ):
                    line = {"example_id": example_id, **fields}
                    file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())
                    count += 1
            file.finish()
            file.replace()
    except OSError as error:
        raise ExportFailed(f"{path} cannot be written ({error.strerror}). Nothing was left behind.") from error
    return count


def _encoded_fields(
    examples: Sequence[Example], tokenizer: Any, spec: EncodingSpec, readable: ReadableIds
) -> Iterator[dict[str, Any]]:
    found = encode_and_render(examples, tokenizer, spec, with_turns=True)
    kept = without_unreadable([encoded for encoded, _ in found], readable)
    for example, encoded, (_, rendered) in zip(examples, kept, found, strict=True):
        turns = [] if encoded.turns is None else encoded.turns.tolist()
        yield {
            "input_ids": encoded.input_ids.tolist(),
            "scored": encoded.scored.astype(int).tolist(),
            "turns": [turn if turn >= 0 else None for turn in turns],
            "roles": token_roles(example, encoded),
            "text": rendered.text if rendered else None,
            "left_out": encoded.left_out,
            "reason": encoded.reason,
        }
