"""How far the engine is from transformers' own loss: the same rows, one at a time, with labels=, in float32.

    python -m bench.agreement MODEL_FOLDER FILE... [--rows 6] [--max-length 1024]

The Alpaca prompt, the tokens and the labels are made here a second time, without core.encoding.encode.
"""

import argparse
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.data.examples import DatasetRow, Example
from core.encoding.encode import encode_examples
from core.encoding.encoding_spec import EncodingSpec
from core.engine.response_loss import response_losses
from core.importing import SourceOptions, read_examples

HEAD = "Below is an instruction that describes a task{pair}. Write a response that appropriately completes the request."
PAIRED = ", paired with an input that provides further context"
HEADINGS = {"user": "### Instruction:", "context": "### Input:", "tool": "### Tool:"}


def text_and_spans(example: Example, end_of_turn: str) -> tuple[str, list[tuple[int, int]]]:
    """The Alpaca prompt as Stanford wrote it, and the character spans that are scored."""
    messages = example.messages
    last = max(index for index, message in enumerate(messages) if message.role == "assistant")
    systems = [message.content for message in messages if message.role == "system"]
    paired = PAIRED if any(message.role == "context" for message in messages) else ""
    text, spans = systems[0] if systems else HEAD.format(pair=paired), []
    for message in messages[: last + 1]:
        if message.role == "assistant":
            text += "\n\n### Response:\n"
            spans.append((len(text), len(text) + len(message.content) + len(end_of_turn)))
            text += message.content + end_of_turn
        elif message.role != "system":
            text += f"\n\n{HEADINGS[message.role]}\n{message.content}"
    return text, spans


def transformers_loss(model: Any, tokenizer: Any, example: Example, max_length: int) -> tuple[float, int]:
    """Mean loss [nats per token] of the labelled tokens, and how many there are."""
    text, spans = text_and_spans(example, tokenizer.eos_token)
    tokens = tokenizer(text, return_offsets_mapping=True, truncation=True, max_length=max_length)
    labels = [
        token if any(end > first and start < last and end > start for first, last in spans) else -100
        for token, (start, end) in zip(tokens["input_ids"], tokens["offset_mapping"], strict=True)
    ]
    with torch.inference_mode():
        loss = model(input_ids=torch.tensor([tokens["input_ids"]]), labels=torch.tensor([labels])).loss
    return float(loss), sum(label != -100 for label in labels)


def main() -> None:
    """Print each row's two losses and the worst difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--rows", type=int, default=6, help="rows of each file")
    parser.add_argument("--max-length", type=int, default=1024, help="tokens")
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()
    found = [
        (path.name, record.example)
        for path in arguments.files
        for record in islice(read_examples(path, SourceOptions()), arguments.rows)
        if isinstance(record, DatasetRow)
    ]
    spec = EncodingSpec("alpaca", arguments.max_length, "any")
    encoded = encode_examples([example for _, example in found], tokenizer, spec)
    ours = {
        row: float(nll_sum) / encoded[row].token_count
        for batch in response_losses(model, encoded, 4096)
        for row, nll_sum in zip(batch.rows, batch.nll_sums, strict=True)
    }
    worst = 0.0
    for row, (name, example) in enumerate(found):
        if row not in ours:
            print(f"{name:40} not scored: {encoded[row].reason}")
            continue
        theirs, count = transformers_loss(model, tokenizer, example, arguments.max_length)
        worst = max(worst, abs(ours[row] - theirs))
        print(f"{name:40} {count:5} tokens  ours {ours[row]:.7f}  transformers {theirs:.7f}")
    print(f"{len(ours)} rows, worst difference {worst:.1e} nats per token")


if __name__ == "__main__":
    main()
