"""Errors that libraries raise on damaged or unknown model files, and their conversion to one sentence."""

from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from ..data.errors import ModelUnusable

UNLOADABLE = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    MemoryError,
    TypeError,
    AttributeError,
    ImportError,
    SafetensorError,
    StrictDataclassError,
)
"""Errors that transformers and peft raise on damaged or unknown files."""


def refuse_gaps(whose: str, report: dict[str, Any]) -> None:
    """Raise `ModelUnusable` if a loading report lists weights that are missing or have another shape."""
    if missing := sorted(report.get("missing_keys", ())):
        raise ModelUnusable(f"{whose} lacks {len(missing)} of its weights, such as {missing[0]}. Fetch it again.")
    if mismatched := sorted(report.get("mismatched_keys", ())):
        name, found, expected = mismatched[0]
        raise ModelUnusable(
            f"{whose} has weights whose shape does not match its config: {name} is {tuple(found)}, not "
            f"{tuple(expected)}. Fetch it again."
        )


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or two if the first only introduces the second."""
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])[:300]


def is_of_library(error: BaseException) -> bool:
    """Whether a library may have raised it on a damaged file: tokenizers raises bare `Exception`, and a panic of its
    Rust code is not even an `Exception`."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def cannot_be_loaded(label: str, error: BaseException) -> ModelUnusable:
    """The user error for a model whose loading ended in a library's error."""
    if "trust_remote_code" in str(error):
        return ModelUnusable(
            f"The model {label!r} cannot be loaded: it needs its own code, which is never run. Choose a model that "
            "transformers supports."
        )
    return ModelUnusable(
        f"The model {label!r} cannot be loaded ({first_line(error)}). Fetch it again, or choose another."
    )
