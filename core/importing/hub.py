"""Fetches the data files of a dataset on the Hugging Face Hub."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.errors import SourceUnreadable
from ..system import paths
from .hub_files import HubFile, choose_files, matching
from .reading import is_data_file

_URL = "hf://datasets/"


@dataclass(frozen=True, slots=True)
class HubFiles:
    """Downloaded files of a Hub dataset at one commit: the local path of each, and its place in the repository."""

    repo_id: str
    commit: str
    files: tuple[tuple[Path, HubFile], ...]


@dataclass(frozen=True, slots=True)
class HubName:
    """A Hub dataset as a user names it: its id, an optional revision, and an optional path or pattern of its files."""

    repo_id: str
    revision: str | None = None
    path: str = ""


def hub_name(text: str) -> HubName | None:
    """Parses "owner/name" or "hf://datasets/owner/name@revision/path"; None for a local path.

    Raises `SourceUnreadable` for an invalid address.
    """
    if not text.startswith("hf://"):
        return HubName(text) if names_hub_dataset(text) else None
    parts = text.removeprefix(_URL).split("/")
    name, _, revision = parts[1].partition("@") if len(parts) > 1 else ("", "", "")
    path = "/".join(parts[2:])
    if not revision and "@" in path:  # some people put the revision at the end
        path, _, revision = path.rpartition("@")
    repo_id = f"{parts[0]}/{name}"
    if not text.startswith(_URL) or not paths.is_hub_id(repo_id):
        raise SourceUnreadable(f"{text[:100]!r} is not a dataset address. Write it as hf://datasets/owner/name.")
    return HubName(repo_id, revision or None, path)


def names_hub_dataset(text: str) -> bool:
    """Whether a text is a Hub dataset id ("owner/name") and not a local file or folder."""
    return paths.is_hub_id(text) and not is_data_file(text) and not os.path.lexists(text)


def download_dataset(
    repo_id: str, revision: str | None = None, split: str | None = None, config: str | None = None, path: str = ""
) -> HubFiles:
    """Download data files of a Hub dataset into the local Hub cache; `choose_files` decides which.

    `path` is a file, a folder or a pattern in the repository. The environment variables HF_ENDPOINT and HF_HUB_CACHE
    set the Hub's address and the cache folder. Raises `SourceUnreadable` if the Hub, the dataset or its data files are
    not available, or the choice is ambiguous.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    try:
        info = api.dataset_info(repo_id, revision=revision)
        names = [file.rfilename for file in info.siblings or []]
        if path:
            chosen = _named_files(repo_id, names, path, split, config)
        else:
            chosen = choose_files(f"The Hub dataset {repo_id}", names, split, config, _described_configs(info))
        cache = os.environ.get("HF_HUB_CACHE")
        # By commit, so that all files belong to one version even if the dataset changes meanwhile.
        fetched = [
            api.hf_hub_download(repo_id, file.name, repo_type="dataset", revision=info.sha, cache_dir=cache)
            for file in chosen
        ]
    except (HTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        raise SourceUnreadable(_sentence(error, repo_id, revision, api.endpoint)) from error
    return HubFiles(repo_id, info.sha or "", tuple(zip(map(Path, map(str, fetched)), chosen, strict=True)))


def _named_files(repo_id: str, names: list[str], path: str, split: str | None, config: str | None) -> list[HubFile]:
    """The files matching a path: all of them if it names files, else a choice within the folder."""
    within = [name for name in matching(names, path) if is_data_file(name)]
    if not within:
        raise SourceUnreadable(f"The Hub dataset {repo_id} has no data file {path!r}. Check the path.")
    if is_data_file(path) and not (split or config):
        return [HubFile(name, "", "") for name in within]
    return choose_files(f"The Hub dataset {repo_id}", within, split, config)


def _described_configs(info: Any) -> list[Mapping[str, Any]]:
    """The configs described in the dataset card."""
    card = getattr(info, "card_data", None)
    configs = card.get("configs") if card is not None else None
    return [item for item in configs if isinstance(item, Mapping)] if isinstance(configs, list) else []


def _sentence(error: Any, repo_id: str, revision: str | None, endpoint: str) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return f"The Hub dataset {repo_id} is gated: accept its terms on {endpoint}, then run hf auth login."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"The Hub dataset {repo_id} has no revision {revision!r}. Check the name of the branch, tag or commit."
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"There is no dataset {repo_id} on {endpoint}, or it is private. "
            "Check the id (or the path, if you meant a local file); for a private dataset run hf auth login."
        )
    if isinstance(error, ValueError):
        return f"{repo_id!r} is not a dataset id. Write it as owner/name."
    return (
        f"The Hub at {endpoint} could not provide the dataset {repo_id} ({type(error).__name__}). "
        "Check the network, or download the files and import them by path."
    )
