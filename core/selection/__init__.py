"""Selection: turns a JSON recipe into a decision and a reason for every row.

recipe -> budgets (how much of each domain) -> decisions (SQL) -> summary
"""

from .comparison import compared_rows, overlap
from .coverage import Coverage, coverage_fields, coverage_sentence, selection_coverage
from .cuts import amount_at_cut
from .decisions import KEPT
from .draft_state import DraftState
from .explanation import row_outcome
from .outcome_rows import kept_condition, outcomes_of
from .profile import SecondReference, SelectionProfile, profile_sentence, selected_by_second, selection_profile
from .recipe import ORDERS, SCOPES, Amount, Pick, Selection
from .saved import save_selection, saved_selection, saved_selection_names, selections_of_run
from .scored_run import ScoredRun, scored_run
from .summary import Summary, kept_rows, matched_control, near_the_cut, row_decisions, select_summary

__all__ = [
    "KEPT",
    "ORDERS",
    "SCOPES",
    "Amount",
    "Coverage",
    "DraftState",
    "Pick",
    "ScoredRun",
    "SecondReference",
    "Selection",
    "SelectionProfile",
    "Summary",
    "amount_at_cut",
    "compared_rows",
    "coverage_fields",
    "coverage_sentence",
    "kept_condition",
    "kept_rows",
    "matched_control",
    "near_the_cut",
    "outcomes_of",
    "overlap",
    "profile_sentence",
    "row_decisions",
    "row_outcome",
    "save_selection",
    "saved_selection",
    "saved_selection_names",
    "scored_run",
    "select_summary",
    "selected_by_second",
    "selection_coverage",
    "selection_profile",
    "selections_of_run",
]
