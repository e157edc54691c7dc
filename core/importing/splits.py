"""Split names of a dataset: which are for training, and which one a user means."""

import re

_KINDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "development"),
    "test": ("test", "testing", "eval", "evaluation", "heldout", "holdout"),
}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words}
_SHARD = re.compile(r"[-_.](?:\d+-of-\d+|\d{3,})$")


def split_kind(name: str) -> str:
    """ "train", "validation" or "test" by the first word of a split's name that matches, else ""."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((_KIND_OF[word] for word in words if word in _KIND_OF), "")


def is_split_name(name: str) -> bool:
    """Whether a name begins like a split name: train, Test, train_sft."""
    return re.split(r"[^a-z]+", name.lower())[0] in _KIND_OF


def without_shard(stem: str) -> str:
    """A file's stem without its shard number: "train" for "train-00000-of-00002"."""
    return _SHARD.sub("", stem)


def named_split(names: list[str], wanted: str) -> str | None:
    """The split that a user means: the one with that name, else the only one of that kind."""
    exact = [name for name in names if name == wanted] or [name for name in names if name.lower() == wanted.lower()]
    kind = _KIND_OF.get(wanted.lower())
    alike = exact or [name for name in names if kind and _KIND_OF.get(name.lower()) == kind]
    alike = alike or [name for name in names if kind and split_kind(name) == kind]
    return alike[0] if len(alike) == 1 else None


def one_training_split(names: list[str]) -> str | None:
    """The training split: train or training, else the only one with train in its name, else the only one."""
    if len(names) == 1 and not split_kind(names[0]):
        return names[0]
    return named_split(names, "train")
