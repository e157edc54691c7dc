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
    """Files of a Hub dataset at one commit, fetched: where each is here, and what it is in the repository."""

    repo_id: str
    commit: str
    files: tuple[tuple[Path, HubFile], ...]


@dataclass(frozen=True, slots=True)
class HubName:
    """A dataset on the Hub as a person names it: its id, perhaps a revision and a path (or pattern) of its files."""

    repo_id: str
    revision: str | None = None
    path: str = ""


def hub_name(text: str) -> HubName | None:
    """What a text names on the Hub ("owner/name", or "hf://datasets/owner/name@revision/path"), None for a path here.

    Raises `SourceUnreadable` for an address that is none.
    """
    if not text.startswith("hf://"):
        return HubName(text) if names_hub_dataset(text) else None
    parts = text.removeprefix(_URL).split("/")
    name, _, revision = parts[1].partition("@") if len(parts) > 1 else ("", "", "")
    path = "/".join(parts[2:])
    if not revision and "@" in path:  # as people write it at the end
        path, _, revision = path.rpartition("@")
    repo_id = f"{parts[0]}/{name}"
    if not text.startswith(_URL) or not paths.is_hub_id(repo_id):
        raise SourceUnreadable(f"{text[:100]!r} is no dataset's address. Write it as hf://datasets/owner/name.")
    return HubName(repo_id, revision or None, path)


def names_hub_dataset(text: str) -> bool:
    """Whether a text names a dataset on the Hub ("owner/name") and no file or folder here."""
    return paths.is_hub_id(text) and not is_data_file(text) and not os.path.lexists(text)


def download_dataset(
    repo_id: str, revision: str | None = None, split: str | None = None, config: str | None = None, path: str = ""
) -> HubFiles:
    """Data files of a Hub dataset, fetched into the Hub's own cache on this machine; see `choose_files` for which.

    `path` is a file, a folder or a pattern in the repository to choose from. HF_ENDPOINT and HF_HUB_CACHE in the
    environment say where the Hub and its cache are. Raises `SourceUnreadable` if the Hub, the dataset or its data
    files cannot be had, or which are meant is not clear.
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
        # By commit, so that all files are of one state of the dataset, whoever changes it meanwhile.
        fetched = [
            api.hf_hub_download(repo_id, file.name, repo_type="dataset", revision=info.sha, cache_dir=cache)
            for file in chosen
        ]
    except (HTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        raise SourceUnreadable(_sentence(error, repo_id, revision, api.endpoint)) from error
    return HubFiles(repo_id, info.sha or "", tuple(zip(map(Path, map(str, fetched)), chosen, strict=True)))


def _named_files(repo_id: str, names: list[str], path: str, split: str | None, config: str | None) -> list[HubFile]:
    """The files that a path means: every one, where it names files; else chosen among those of the folder."""
    within = [name for name in matching(names, path) if is_data_file(name)]
    if not within:
        raise SourceUnreadable(f"The Hub dataset {repo_id} has no data file {path!r}. Check the path in it.")
    if is_data_file(path) and not (split or config):
        return [HubFile(name, "", "") for name in within]
    return choose_files(f"The Hub dataset {repo_id}", within, split, config)


def _described_configs(info: Any) -> list[Mapping[str, Any]]:
    """What the dataset's card says of its configs."""
    card = getattr(info, "card_data", None)
    configs = card.get("configs") if card is not None else None
    return [item for item in configs if isinstance(item, Mapping)] if isinstance(configs, list) else []


def _sentence(error: Any, repo_id: str, revision: str | None, endpoint: str) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return f"The Hub dataset {repo_id} wants its terms accepted: do so on {endpoint}, then run hf auth login."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"The Hub dataset {repo_id} has no revision {revision!r}. Check the name of the branch, tag or commit."
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"There is no dataset {repo_id} on {endpoint}, or it is private. "
            "Check its id and that it is no file's path; for a private one log in with hf auth login."
        )
    if isinstance(error, ValueError):
        return f"{repo_id!r} is no dataset id. It must read owner/name."
    return (
        f"The Hub at {endpoint} did not give the dataset {repo_id} ({type(error).__name__}). "
        "Check the network, or download its files and import them by path."
    )
