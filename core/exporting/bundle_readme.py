"""The README of a bundle: its contents, the command to run, and the skipped and changed rows."""

from textwrap import fill

from ..data.version import COMMAND
from .preflight import Preflight, PreflightFinding
from .trainer_configs import DATA_FILE
from .trainers import trainer_named

_TEMPLATES = {
    "chat": "the model's own chat template",
    "chatml": "ChatML",
    "alpaca": "the Alpaca prompt",
    "plain": "plain text: the prompt, a line break, the reply",
}


def readme(found: Preflight) -> str:
    """The text of README.txt."""
    trainer, plan = trainer_named(found.trainer), found.plan
    paragraphs = [
        f"{found.written_rows:,} rows of fine-tuning data for {trainer.label}, {found.written_tokens:,} scored tokens. "
        f"{trainer.summary}",
        f"Run in this folder:\n\n    {trainer.command}",
        f"{DATA_FILE} has the rows; scores.jsonl has their losses and scores, line by line; manifest.json records "
        "where every row comes from and how to reproduce this bundle. The config is a starting point: edit it freely.",
    ]
    if not trainer.keeps_records:
        template = "a chat template that is not the model's own" if plan.own_template else _TEMPLATES[plan.template]
        paragraphs += [
            f"Scored with {template}, at most {plan.max_length:,} tokens per row, on the base {plan.model}. The config "
            "makes training read the same text, so train from that base.",
        ]
    if trainer.record is not None:
        paragraphs += [
            f"To list tokens that {trainer.label} trains on differently than they were scored, run:\n\n"
            f"    {COMMAND} masks --selection NAME --bundle {trainer.name}",
        ]
    paragraphs += [f"Note: {notice}" for notice in found.notices]
    for title, findings in (("Skipped:", found.left_out), ("Changed:", found.changed)):
        if findings:
            paragraphs += [title, *(f"- {finding_line(finding)}" for finding in findings)]
    # A path must not be wrapped.
    lines = [
        text if "    " in text else fill(text, 100, break_long_words=False, break_on_hyphens=False)
        for text in paragraphs
    ]
    return "\n\n".join(lines) + "\n"


def finding_line(finding: PreflightFinding) -> str:
    """A reason with its count and the first rows, in one line."""
    rows = "1 row" if finding.rows == 1 else f"{finding.rows:,} rows"
    named = ", ".join(f"{number:,}" for number in finding.first_rows)
    more = ", ..." if finding.rows > len(finding.first_rows) else ""
    return f"{rows}, because {finding.reason.sentence} (row {named}{more})"
