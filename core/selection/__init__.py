"""Selection: a recipe in JSON becomes a decision on every row, with its reason.

recipe -> budgets (how much of each domain) -> decisions (SQL) -> summary
"""

from core.selection.decisions import KEPT
from core.selection.recipe import AMOUNT_KINDS, ORDERS, SCOPES, Amount, Pick, Selection
from core.selection.summary import (
    Summary,
    domain_totals,
    kept_rows,
    matched_control,
    near_the_cut,
    overlap,
    row_decisions,
    save_selection,
    saved_selection,
    saved_selection_names,
    select_summary,
)

__all__ = [
    "AMOUNT_KINDS",
    "KEPT",
    "ORDERS",
    "SCOPES",
    "Amount",
    "Pick",
    "Selection",
    "Summary",
    "domain_totals",
    "kept_rows",
    "matched_control",
    "near_the_cut",
    "overlap",
    "row_decisions",
    "save_selection",
    "saved_selection",
    "saved_selection_names",
    "select_summary",
]
