"""Pushes a written export to a dataset on the Hugging Face Hub: its files and its card, in one commit."""

import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.errors import ExportFailed, JsonInvalid
from ..data.version import COMMAND, __version__
from ..system.paths import is_hub_id
from ..system.permission import require_change
from ..system.untrusted_json import read_json_object
from .bundles import MANIFEST_FILE, BundleReport
from .dataset_card import CardFacts, DatasetCard, check_licence, dataset_card
from .exporter import ExportReport
from .trainer_configs import DATA_FILE

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, DatasetInfo, HfApi

_CARD = "README.md"
_REVISION = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._/-]{0,99}")
_MOST_CARD_BYTES = 2**21
NO_TOKEN = "No Hugging Face token is set. Run hf auth login, or set HF_TOKEN, where this program runs."


@dataclass(frozen=True, slots=True)
class HubTarget:
    """Where to push: a dataset ("owner/name"), made if it is missing, private unless `public`; a branch (`revision`),
    made if it is missing, or a pull request to the main branch. `licence`: an identifier, "" if it is not known."""

    repo_id: str
    public: bool = False
    revision: str = ""
    pull_request: bool = False
    licence: str = ""


@dataclass(frozen=True, slots=True)
class PushReport:
    """A finished push: the commit, the address of what can be looked at (dataset or pull request), files, bytes, and
    sentences about what is not as was asked."""

    repo_id: str
    commit: str
    url: str
    files: tuple[str, ...]
    byte_count: int
    private: bool
    notices: tuple[str, ...] = ()

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields."""
        return {
            "dataset": self.repo_id,
            "commit": self.commit,
            "url": self.url,
            "files": list(self.files),
            "bytes": self.byte_count,
            "private": self.private,
        }


def hub_endpoint() -> str:
    """The address of the Hub: `HF_ENDPOINT`, else the public one."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def push_objection() -> str | None:
    """Why nothing can be pushed from here: offline, or without a token; None if it can."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, so nothing is sent to the Hub. Unset it to push."
    return None if _token() else NO_TOKEN


def check_target(target: HubTarget) -> None:
    """Raise `ExportFailed` for a target that cannot be pushed to, without asking the Hub."""
    if not is_hub_id(target.repo_id):
        raise ExportFailed(f"{target.repo_id[:100]!r} is not a dataset id. Write it as owner/name.")
    if target.revision and not _REVISION.fullmatch(target.revision):
        raise ExportFailed(f"{target.revision[:100]!r} is not the name of a branch. Use letters, digits, . _ / and -.")
    if target.pull_request and target.revision not in ("", "main"):
        raise ExportFailed("The Hub opens pull requests to the main branch only. Leave out the revision.")
    check_licence(target.licence)
    if objection := push_objection():
        raise ExportFailed(objection)


def push_export(
    report: ExportReport | BundleReport,
    target: HubTarget,
    evidence: Sequence[str] = (),
    show: Callable[[str], None] = lambda _: None,
) -> PushReport:
    """Push a written export, its manifest and its card as one commit. An existing card keeps its fields and its text.

    A dataset that is public gets nothing unless the target says `public`. `show` is told of each step. Raises
    `ExportFailed` with one sentence; then the dataset's files are as they were.
    """
    require_change()
    check_target(target)
    try:
        manifest = read_json_object(report.manifest_path)
    except (OSError, JsonInvalid) as error:
        raise ExportFailed(f"{report.manifest_path} cannot be read. Export again.") from error
    with _files(report, manifest) as files:
        facts = CardFacts(manifest, next(iter(files)), tuple(evidence), target.licence)
        return _translated(target, lambda api: _push(api, files, facts, target, show))


def _push(
    api: "HfApi", files: Mapping[str, Path], facts: CardFacts, target: HubTarget, show: Callable[[str], None]
) -> PushReport:
    show(f"Looking at {target.repo_id}")
    info = _dataset(api, target)
    card = _card(api, info, target, facts)
    size = sum(path.stat().st_size for path in files.values())
    done = _commit(api, files, card, info, target, show)
    private = bool(info.private)
    notices = card.notices
    if target.public and private:
        notices += (f"The dataset {target.repo_id} is private and stays so. Change that in its settings on the Hub.",)
    url = str(done.pr_url) if target.pull_request else f"{hub_endpoint()}/datasets/{target.repo_id}"
    return PushReport(target.repo_id, done.oid, url, (*files, _CARD), size, private, notices)


def _dataset(api: "HfApi", target: HubTarget) -> "DatasetInfo":
    """The dataset at the branch to push to; both are made if they are missing."""
    from huggingface_hub.errors import RevisionNotFoundError

    api.create_repo(target.repo_id, repo_type="dataset", private=not target.public, exist_ok=True)
    revision = target.revision or None
    try:
        info = api.dataset_info(target.repo_id, revision=revision)
    except RevisionNotFoundError:
        if revision is None:
            raise
        _check_private(api.dataset_info(target.repo_id), target)
        api.create_branch(target.repo_id, branch=revision, repo_type="dataset", exist_ok=True)
        info = api.dataset_info(target.repo_id, revision=revision)
    _check_private(info, target)
    return info


def _check_private(info: "DatasetInfo", target: HubTarget) -> None:
    if not info.private and not target.public:
        raise ExportFailed(
            f"The dataset {target.repo_id} is public, so everyone could read what is pushed; nothing was. Choose "
            "public, or another name."
        )


def _card(api: "HfApi", info: "DatasetInfo", target: HubTarget, facts: CardFacts) -> DatasetCard:
    """The card to push, made from the one at the commit that the push starts from."""
    if _CARD not in {file.rfilename for file in info.siblings or []}:
        return dataset_card(None, facts)
    with tempfile.TemporaryDirectory() as folder:  # never an older one, from the cache
        path = Path(
            api.hf_hub_download(target.repo_id, _CARD, repo_type="dataset", revision=info.sha, cache_dir=folder)
        )
        if path.stat().st_size > _MOST_CARD_BYTES:
            raise ExportFailed(f"The card of {target.repo_id} is larger than 2 MB. Push to another dataset.")
        try:
            text = path.read_bytes().decode()
        except UnicodeDecodeError as error:
            raise ExportFailed(f"The card of {target.repo_id} is not UTF-8. Mend it on the Hub.") from error
    return dataset_card(text, facts)


def _commit(
    api: "HfApi",
    files: Mapping[str, Path],
    card: DatasetCard,
    info: "DatasetInfo",
    target: HubTarget,
    show: Callable[[str], None],
) -> "CommitInfo":
    """Upload large files, which nobody sees before the commit, then commit everything on top of what was looked at."""
    from huggingface_hub import CommitOperationAdd

    place: dict[str, Any] = {
        "repo_id": target.repo_id,
        "repo_type": "dataset",
        "revision": target.revision or None,
        "create_pr": target.pull_request,
    }
    additions = [CommitOperationAdd(name, path) for name, path in files.items()]
    for number, addition in enumerate(additions, 1):
        show(f"Uploading {addition.path_in_repo} ({number:,} of {len(additions):,} files)")
        api.preupload_lfs_files(additions=[addition], free_memory=False, **place)
    show("Committing")
    done: CommitInfo = api.create_commit(
        operations=[*additions, CommitOperationAdd(_CARD, card.text.encode())],
        commit_message=f"Selected rows, {additions[0].path_in_repo}",
        parent_commit=info.sha,
        **place,
    )
    return done


@contextmanager
def _files(report: ExportReport | BundleReport, manifest: Mapping[str, Any]) -> Iterator[dict[str, Path]]:
    """The files to push by their name in the repository, the data first."""
    output = manifest["output"]
    if not isinstance(report, BundleReport):
        name = f"train.{output['format']}{'.gz' if output['compressed'] else ''}"
        yield {name: report.path, MANIFEST_FILE: report.manifest_path}
        return
    names = [str(file["name"]) for file in output["files"]] + [MANIFEST_FILE]
    names.sort(key=lambda name: name != DATA_FILE)
    if report.path.is_dir():
        yield {name: report.path / name for name in names}
        return
    with tempfile.TemporaryDirectory(dir=report.path.parent) as unpacked:
        with zipfile.ZipFile(report.path) as archive:
            entries = {entry.filename.rpartition("/")[2]: entry for entry in archive.infolist()}
            for name in names:
                with archive.open(entries[name]) as source, (Path(unpacked) / name).open("wb") as copy:
                    shutil.copyfileobj(source, copy)
        yield {name: Path(unpacked) / name for name in names}


def _token() -> str | None:
    from huggingface_hub import get_token
    from huggingface_hub.errors import OIDCError

    try:
        return get_token()
    except OIDCError:
        return None


def _translated(target: HubTarget, push: Callable[["HfApi"], PushReport]) -> PushReport:
    """What `push` returns; what the Hub or the network refuses becomes one sentence."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    token = _token()
    try:
        return push(HfApi(endpoint=hub_endpoint(), token=token, library_name=COMMAND, library_version=__version__))
    # RuntimeError: the uploader of large files; KeyError: an answer without a field.
    except (HTTPError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise ExportFailed(_sentence(error, target, token or "")) from error


def _sentence(error: Exception, target: HubTarget, token: str) -> str:
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    endpoint, name = hub_endpoint(), target.repo_id
    if not isinstance(error, HfHubHTTPError):
        if isinstance(error, ValueError):
            said = " ".join(str(error).split()).replace(token, "TOKEN") if token else type(error).__name__
            return f"The push to {name} was refused before anything was changed: {said[:200]}"
        if isinstance(error, KeyError):
            return f"The address {endpoint} does not answer as a Hub, so nothing was pushed. Check HF_ENDPOINT."
        kind = type(error).__name__
        return f"The Hub at {endpoint} cannot be reached ({kind}), so nothing was pushed. Check the network."
    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        return f"The dataset {name} is gated. Accept its terms on {endpoint}, then push again."
    sentences = {
        401: f"The Hub at {endpoint} does not accept the token, or it may not see {name}. Run hf auth login again.",
        403: f"The token may not write to the dataset {name}. Use a token with write access, or open a pull request.",
        404: f"There is no dataset {name} on {endpoint}, or the token may not see it. Check the owner and the name.",
        409: f"The dataset {name} was changed during the push, so nothing was pushed. Push again.",
        429: f"The Hub at {endpoint} has had too many requests. Wait some minutes, then push again.",
    }
    sentences[412] = sentences[409]
    said = " ".join((error.server_message or "").split())
    said = said.replace(token, "TOKEN")[:200] if token else ""
    other = (
        f"The Hub at {endpoint} refused the push with status {status}{f' ({said})' if said else ''}. Try again later."
    )
    return sentences.get(status, other)
