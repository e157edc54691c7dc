"""A mask comparison as JSON fields and as text."""

from dataclasses import asdict
from typing import Any

from .mask_diff import KINDS, Difference, MaskReport

_MOST_SHOWN = 20
_LONGEST_TEXT = 80


def mask_fields(report: MaskReport) -> dict[str, Any]:
    """The report as JSON fields."""
    return asdict(report)


def mask_text(label: str, report: MaskReport) -> str:
    """The report as text: the counts, then each differing text, those in most rows first."""
    others = report.trained_tokens - report.shared_tokens
    lines = [
        f"{label} reads {report.equal_rows:,} of {report.rows:,} rows exactly as they were scored. It trains on "
        f"{report.shared_tokens:,} of {report.scored_tokens:,} scored tokens, and on {others:,} that were not scored."
    ]
    if report.dropped_rows:
        named = ", ".join(f"{number:,}" for number in report.dropped_rows[:5])
        more = ", ..." if len(report.dropped_rows) > 5 else ""
        lines.append(f"It drops {len(report.dropped_rows):,} rows (row {named}{more}).")
    lines += [_line(difference) for difference in report.differences[:_MOST_SHOWN]]
    if len(report.differences) > _MOST_SHOWN:
        lines.append(f"and {len(report.differences) - _MOST_SHOWN:,} more (use --json for all)")
    return "\n".join(lines)


def _line(difference: Difference) -> str:
    rows = "1 row" if difference.rows == 1 else f"{difference.rows:,} rows"
    named = ", ".join(f"{number:,}" for number in difference.first_rows)
    more = ", ..." if difference.rows > len(difference.first_rows) else ""
    text = difference.text if len(difference.text) <= _LONGEST_TEXT else f"{difference.text[:_LONGEST_TEXT]}..."
    return f"{KINDS[difference.kind]}: {text!r}, {difference.tokens:,} tokens in {rows} (row {named}{more})"
