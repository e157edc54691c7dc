"""A draft's state: the recipe that a form holds and the filter of the charts, to and from the parts that are stored."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from ..data.errors import SelectionInvalid, UserError
from ..data.filters import EVERYTHING, RowFilter
from ..system.untrusted_json import parse_json
from .recipe import Selection

RECIPE, PICKS, CHART_FILTER = "recipe", "picks", "chart_filter"
"""The parts of a state. Hand picks are apart from the rest of the recipe: there may be thousands, and most changes are
of the rest."""


@dataclass(frozen=True, slots=True)
class DraftState:
    """What a form holds: the recipe with its hand picks, and the filter that the page's charts show."""

    selection: Selection
    chart_filter: RowFilter = EVERYTHING

    def to_parts(self) -> dict[str, str]:
        """As JSON texts by part, without the run."""
        fields = replace(self.selection, picks=()).to_fields()
        recipe = {name: value for name, value in fields.items() if name not in ("run", "picks")}
        return {
            RECIPE: _text(recipe),
            PICKS: _text(self.selection.picks),
            CHART_FILTER: _text(self.chart_filter.to_fields()),
        }

    @classmethod
    def from_parts(cls, run: str, parts: Mapping[str, str]) -> "DraftState":
        """Reverse of `to_parts` for the draft of a run. Raises `SelectionInvalid` for what it does not know, such as a
        score of another version."""
        try:
            found = {part: parse_json(content, f"its {part}") for part, content in parts.items()}
            recipe = found.get(RECIPE)
            if found.keys() != {RECIPE, PICKS, CHART_FILTER} or not isinstance(recipe, dict):
                raise SelectionInvalid("It has other parts than this version knows.")
            selection = Selection.from_fields(recipe | {"run": run, PICKS: found[PICKS]})
            return cls(selection, RowFilter.from_fields(found[CHART_FILTER]))
        except UserError as error:
            raise SelectionInvalid(f"The draft of this selection cannot be used and was ignored. {error}") from error


def _text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
