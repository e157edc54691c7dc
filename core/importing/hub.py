"""Fetches the data files of a dataset on the Hugging Face Hub."""

import os
import re
from pathlib import Path
from typing import Any

from core import paths
from core.errors import SourceUnreadable
from core.importing.reading import CONTAINERS, is_data_file, plain_stem

_ABOUT_THE_DATASET = ("dataset_info", "dataset_infos", "dataset_dict", "state", "config", "package")


def is_hub_id(text: str) -> bool:
    """Whether a text names a dataset on the Hub ("owner/name") and no file or folder here."""
    return paths.is_hub_id(text) and not is_data_file(text) and not os.path.lexists(text)


def download_dataset(repo_id: str, revision: str | None = None, split: str | None = None) -> list[Path]:
    """Data files of a Hub dataset, fetched into the Hub's own cache on this machine.

    Of a dataset with splits, the files whose path names `split` (else "train") are taken; where none does,
    all are. HF_ENDPOINT and HF_HUB_CACHE in the environment say where the Hub and its cache are.
    Raises `SourceUnreadable` if the Hub, the dataset or its data files cannot be had.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    try:
        info = api.dataset_info(repo_id, revision=revision)
        chosen = choose_files(repo_id, [file.rfilename for file in info.siblings or []], split)
        cache = os.environ.get("HF_HUB_CACHE")
        return [
            # By commit, so that all files are of one state of the dataset, whoever changes it meanwhile.
            Path(str(api.hf_hub_download(repo_id, name, repo_type="dataset", revision=info.sha, cache_dir=cache)))
            for name in chosen
        ]
    except (HTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        raise SourceUnreadable(_sentence(error, repo_id, revision, api.endpoint)) from error


def choose_files(repo_id: str, names: list[str], split: str | None = None) -> list[str]:
    """Which of a dataset repository's files to take; of the same data in two kinds of file, one.

    Raises `SourceUnreadable` if there is none.
    """
    data = sorted(name for name in names if is_data_file(name) and not _is_about_the_dataset(name))
    wanted = [name for name in data if (split or "train") in re.split(r"[^A-Za-z0-9]+", name)]
    if not data:
        kinds = ", ".join(ending for endings in CONTAINERS.values() for ending in endings)
        raise SourceUnreadable(f"The Hub dataset {repo_id} has no data file ({kinds}). Choose another dataset.")
    if split and not wanted:
        raise SourceUnreadable(f"The Hub dataset {repo_id} has no file for {split!r}. It has: {', '.join(data[:10])}.")
    by_stem: dict[str, str] = {}
    for name in wanted or data:
        by_stem.setdefault(str(Path(name).parent / plain_stem(Path(name).name)), name)
    return list(by_stem.values())


def _is_about_the_dataset(name: str) -> bool:
    path = Path(name)
    return path.name.startswith(".") or plain_stem(path.name) in _ABOUT_THE_DATASET


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
