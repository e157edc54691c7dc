"""How a job's models are placed: each whole on one device, or its layers spread over all memory of the machine.

It is chosen by the setting `placement` when the job is made, and stands in its request. It is no part of a cache key:
losses are the same.
"""

from . import settings
from .errors import SettingInvalid

ONE, SPREAD = "one", "spread"
PLACEMENTS = (ONE, SPREAD)


def chosen_placement() -> str:
    """The placement of the setting. Raises `SettingInvalid` naming those there are."""
    name = settings.text("placement")
    if name not in PLACEMENTS:
        raise SettingInvalid(f"Unknown placement {name!r}. Must be one of: {', '.join(PLACEMENTS)}.")
    return name


def refuse_spread(what: str) -> None:
    """Raise `SettingInvalid` if models are to be spread: `what`, which begins a sentence, needs them on one device."""
    if chosen_placement() == SPREAD:
        raise SettingInvalid(f"{what} needs each model on one device. Set LOBASS_PLACEMENT (--placement) to one.")
