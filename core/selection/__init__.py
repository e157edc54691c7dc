"""Selection: a recipe in JSON becomes a decision on every row, with its reason.

recipe -> budgets (how much of each domain) -> decisions (SQL) -> summary
"""

from core.selection.comparison import compared_rows, overlap
from core.selection.decisions import KEPT
from core.selection.explanation import row_outcome
from core.selection.recipe import ORDERS, SCOPES, Amount, Pick, Selection
from core.selection.saved import save_selection, saved_selection, saved_selection_names, selections_of_run
from core.selection.scored_run import ScoredRun, scored_run
from core.selection.summary import Summary, kept_rows, matched_control, near_the_cut, row_decisions, select_summary

__all__ = [
    "KEPT",
    "ORDERS",
    "SCOPES",
    "Amount",
    "Pick",
    "ScoredRun",
    "Selection",
    "Summary",
    "compared_rows",
    "kept_rows",
    "matched_control",
    "near_the_cut",
    "overlap",
    "row_decisions",
    "row_outcome",
    "save_selection",
    "saved_selection",
    "saved_selection_names",
    "scored_run",
    "select_summary",
    "selections_of_run",
]
