"""Chooses the files of a Hub dataset to import: always one config and one split, never a mixture."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.errors import SourceUnreadable
from .archives import is_about_a_dataset
from .reading import CONTAINERS, is_data_file, plain_stem
from .splits import named_split, one_training_split, split_kind, without_shard

_SHARDED = re.compile(r"[-_.]\d+-of-\d+$")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A data file of a repository, with its config and split ("" if unknown)."""

    name: str
    config: str
    split: str

    def to_fields(self) -> dict[str, str]:
        """As JSON fields, as stored with an import."""
        return {"file": self.name, "config": self.config, "split": self.split}


def choose_files(
    subject: str,
    names: Iterable[str],
    split: str | None = None,
    config: str | None = None,
    described: Sequence[Mapping[str, Any]] = (),
) -> list[HubFile]:
    """The files of one config and split: those named, else the only config (or "default") and its training split.

    `described` are the configs of the dataset card. Without them, folders are configs, and file and folder names give
    the splits. If the same data comes in two file types, one is taken. Raises `SourceUnreadable` with the options if
    the choice is ambiguous; `subject` names the dataset in the message.
    """
    data = sorted(name for name in names if is_data_file(name) and not _is_about(name))
    if not data:
        kinds = ", ".join(ending for endings in CONTAINERS.values() for ending in endings)
        raise SourceUnreadable(f"{subject} has no data file ({kinds}). Choose another dataset.")
    files = _described_files(data, described) or [HubFile(name, _config(name), _split(name)) for name in data]
    if config:
        configs = sorted({file.config for file in files} - {""})
        files = [file for file in files if file.config == config]
        if not files:
            raise SourceUnreadable(f"{subject} has no config {config!r}. It has: {', '.join(configs) or 'none'}.")
    return _one_kind_each(_one_config(subject, _of_split(subject, files, split), described))


def _of_split(subject: str, files: list[HubFile], split: str | None) -> dict[str, list[HubFile]]:
    """The files of the split, by config. Raises `SourceUnreadable` if no config has it."""
    by_config: dict[str, list[HubFile]] = {}
    for file in files:
        by_config.setdefault(file.config, []).append(file)
    chosen: dict[str, list[HubFile]] = {}
    for config, own in by_config.items():
        splits = list(dict.fromkeys(file.split for file in own if file.split))
        training = [name for name in splits if split_kind(name) == "train"]
        if split or training:
            name = named_split(splits, split) if split else one_training_split(training)
            found = [file for file in own if name is not None and file.split == name]
        else:
            found = [file for file in own if not split_kind(file.split)]
        if found:
            chosen[config] = found
    if not chosen:
        all_splits = ", ".join(sorted({file.split for file in files if file.split})) or "none with a name"
        wanted = f"no split {split!r}" if split else "no single training split"
        other = f", or {split} as the config (--config)" if split in by_config else ""
        raise SourceUnreadable(
            f"{subject} has {wanted}. Its splits: {all_splits}. Choose one as the split (--split){other}."
        )
    return chosen


def _one_config(
    subject: str, chosen: dict[str, list[HubFile]], described: Sequence[Mapping[str, Any]]
) -> list[HubFile]:
    named = [config for config in chosen if config]
    if len(named) <= 1:
        return [file for files in chosen.values() for file in files]
    defaults = [str(item.get("config_name")) for item in described if item.get("default") is True]
    for config in (*defaults, "default"):
        if config in chosen:
            return chosen[config]
    raise SourceUnreadable(
        f"{subject} has several configs: {', '.join(sorted(named))}. Choose one as the config (--config)."
    )


def _one_kind_each(files: list[HubFile]) -> list[HubFile]:
    by_stem: dict[str, HubFile] = {}
    for file in files:
        by_stem.setdefault(str(Path(file.name).parent / plain_stem(Path(file.name).name)), file)
    return list(by_stem.values())


def _described_files(names: list[str], described: Sequence[Mapping[str, Any]]) -> list[HubFile]:
    """The files assigned to configs and splits in the dataset card."""
    files: list[HubFile] = []
    for item in described:
        config, folder = str(item.get("config_name") or "default"), str(item.get("data_dir") or "")
        entries = item.get("data_files") or ([f"{folder}/**"] if folder else [])
        for entry in entries if isinstance(entries, list) else [entries]:
            given = entry if isinstance(entry, Mapping) else {"path": entry}
            paths = given.get("path")
            for pattern in paths if isinstance(paths, list) else [paths]:
                matched = matching(names, str(pattern))
                files += [HubFile(name, config, str(given.get("split") or _split(name))) for name in matched]
    return list(dict.fromkeys(files))


def matching(names: Iterable[str], pattern: str) -> list[str]:
    """Names matching a Hub pattern: `*` within one folder, `**` across folders; a folder matches everything in it."""
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.removeprefix("./").rstrip("/"))
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    expression = re.compile("".join(words.get(piece, re.escape(piece)) for piece in pieces) + "(?:/.*)?")
    return [name for name in names if expression.fullmatch(name)]


def _split(name: str) -> str:
    """The split in a file's name, or else in one of its folders: a word such as train or test_sft."""
    *folders, file = name.split("/")
    stem = without_shard(plain_stem(file))
    for part in (stem, *reversed(folders)):
        told = next((word for word in re.split(r"[^A-Za-z0-9_]+", part) if split_kind(word)), "")
        if told:
            return told
    return stem if _SHARDED.search(plain_stem(file)) else ""


def _config(name: str) -> str:
    """The folders of a file, without `data` and split folders."""
    folders = name.split("/")[:-1]
    return "/".join(part for i, part in enumerate(folders) if not split_kind(part) and (i or part != "data"))


def _is_about(name: str) -> bool:
    return is_about_a_dataset(plain_stem(name.rpartition("/")[2]))
