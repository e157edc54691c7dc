"""All settings in one table; environment variables override the defaults."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from .errors import SettingInvalid
from .unicode_text import is_unicode


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: the environment variable `LOBASS_<NAME>` overrides `default` and has the same type. Numbers are from
    `least` to `most`: a value beyond them would make wrong numbers, or end the work in an unexpected error."""

    name: str
    default: int | float | str
    help: str
    least: float = 0
    most: float = 10**15

    @property
    def variable(self) -> str:
        """Name of the environment variable that overrides this setting."""
        return f"LOBASS_{self.name.upper()}"


_MOST_SECONDS = 10**7  # four months; the system's timers take no more than some ten years

SETTINGS = (
    Setting("workspace", "workspace", "Folder for the store, jobs, trained references and exports."),
    Setting(
        "max_line_bytes",
        16 * 2**20,
        "Longest JSONL line, JSON or CSV record; longer ones are skipped [bytes].",
        least=1,
    ),
    Setting(
        "max_unpacked_bytes",
        32 * 2**30,
        "Largest unpacked size of a compressed file; larger ones fail [bytes].",
    ),
    Setting(
        "import_processes",
        0,
        "Processes that read a JSONL file on import; 0 means one per core but one, at most 4, for a large file.",
        most=1024,
    ),
    Setting("max_json_depth", 64, "Deepest nesting of a record; deeper ones are skipped [levels]."),
    Setting("max_upload_megabytes", 200, "Largest upload on the Data page; import larger files by server path [MB]."),
    Setting("max_length", 2048, "Default maximum length; longer examples are truncated [tokens].", least=2),
    Setting("cpu_batch_tokens", 2048, "Batch size for scoring on a CPU [tokens].", least=1),
    Setting(
        "cuda_batch_tokens", 32768, "Batch size for scoring on a GPU; halved when memory runs out [tokens].", least=1
    ),
    Setting("cpu_training_tokens", 1024, "Part of a training batch computed at once on a CPU [tokens].", least=1),
    Setting(
        "cuda_training_tokens",
        16384,
        "Part of a training batch computed at once on a GPU; smaller where memory is short [tokens].",
        least=1,
    ),
    Setting("training_memory_share", 0.6, "Share of the machine's or the GPU's memory that training may take.", most=1),
    Setting("scoring_processes", 0, "Processes per scoring job; 0 means one per GPU, or one on a CPU.", most=1024),
    Setting(
        "encoding_processes",
        -1,
        "Tokenising processes per scoring process; -1 means 1 on a GPU, else 0.",
        least=-1,
        most=1024,
    ),
    Setting("placement", "one", "Where a model is scored; one: whole on one device, spread: layers over all memory."),
    Setting("executor", "local", "What runs jobs; local: processes of this machine, ray: a Ray cluster."),
    Setting("ray_address", "auto", "Ray cluster of the executor ray: HOST:PORT, or auto for the one of this machine."),
    Setting("ray_workers", 0, "Workers per job on a Ray cluster; 0 means as many as its nodes hold.", most=10_000),
    Setting(
        "ray_cpus",
        0.0,
        "Cores per worker on a Ray cluster; 0 means 2 beside a GPU, else those of the smallest node.",
        most=10_000,
    ),
    Setting(
        "ray_gpus",
        0.0,
        "GPUs per worker on a Ray cluster; 0 means one, or half of one for weights of up to 1 GiB.",
        most=8,
    ),
    Setting(
        "shard_seconds",
        2.0,
        "Longest time before a worker writes finished losses to disk [seconds].",
        most=_MOST_SECONDS,
    ),
    Setting("low_base_loss", 0.05, "Rows with a smaller base loss are flagged low_base_loss [nats per token]."),
    Setting("dpo_beta", 1.0, "Beta of the score dpo_loss: how strongly it counts the preference margin.", most=1000),
    Setting("short_response", 10, "Rows with fewer scored tokens are flagged short_response [tokens]."),
    Setting("repeated_share", 0.2, "Least share of repeated 4-word sequences in a repetitive response."),
    Setting("copied_share", 0.5, "Least share of 4-word sequences from the prompt in a copies_prompt response."),
    Setting("template_seconds", 2.0, "Timeout of a chat template for one conversation [seconds].", most=_MOST_SECONDS),
    Setting(
        "template_megabytes", 512, "Memory limit of a chat template for one conversation [MB].", least=1, most=10**6
    ),
    Setting(
        "tokenizer_seconds",
        60.0,
        "Timeout of a tokenizer for a batch, plus 1 s per 20,000 characters [seconds].",
        most=_MOST_SECONDS,
    ),
    Setting("allowed_folders", ".", "Folders from which dashboard users may open files, besides the workspace."),
    Setting("fewest_training_steps", 20, "References trained in fewer steps are called too little trained to rank by."),
    Setting("demo_epochs", 3.0, "Epochs for training the demo's reference.", least=0.001),
    Setting(
        "probe_seconds", 20.0, "How long a trial's probe trains before the cost is shown [seconds].", most=_MOST_SECONDS
    ),
    Setting("token_worker_idle_seconds", 300.0, "Idle timeout of the token worker [seconds].", most=_MOST_SECONDS),
    Setting("store_memory", "4GB", "Memory limit of the store; beyond it, the store spills to disk."),
    Setting("store_threads", 0, "Threads of the store; 0 means one per core.", most=1024),
    Setting(
        "query_seconds",
        30.0,
        "Longest time of a query that a page waits for; 0 means no limit [seconds].",
        most=_MOST_SECONDS,
    ),
    Setting("allow_open", 0, "1 allows serving the dashboard to other machines without a login."),
    Setting("download_megabytes", 50, "Largest export that can be downloaded in the browser [MB]."),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}


_chosen: ContextVar[Mapping[str, str]] = ContextVar("chosen", default=MappingProxyType({}))


@contextmanager
def chosen(values: Mapping[str, str | None]) -> Iterator[None]:
    """Settings that hold in this context before the environment's, by name, as text; None chooses nothing."""
    token = _chosen.set({**_chosen.get(), **{name: text for name, text in values.items() if text is not None}})
    try:
        yield
    finally:
        _chosen.reset(token)


def value(name: str) -> int | float | str:
    """Value of a setting: the one chosen, else the environment's, else its default. Raises `SettingInvalid`."""
    setting = _BY_NAME[name]
    raw = _chosen.get().get(name, os.environ.get(setting.variable))
    if raw is None:
        return setting.default
    if not is_unicode(raw):
        raise SettingInvalid(f"{setting.variable} is {raw[:80]!r}, which is not valid UTF-8. Set it to another value.")
    try:
        found = type(setting.default)(raw)
    except ValueError:
        kind = "whole number" if isinstance(setting.default, int) else "number"
        raise SettingInvalid(
            f"{setting.variable} is {raw[:80]!r}, which is not a {kind}. Set it to a {kind} such as {setting.default}, "
            "or unset it."
        ) from None
    if not isinstance(found, str) and not setting.least <= found <= setting.most:
        raise SettingInvalid(
            f"{setting.variable} is {raw[:80]!r}. Set it to a number from {setting.least:,} to {setting.most:,}, or "
            "unset it."
        )
    return found


def names_of(part: str) -> list[str]:
    """Names of the settings that are of one part of the program only, which begin with its name."""
    return [setting.name for setting in SETTINGS if setting.name.startswith(f"{part}_")]


def check_settings() -> None:
    """Raise `SettingInvalid` for the first setting with an invalid environment variable."""
    for setting in SETTINGS:
        value(setting.name)


def integer(name: str) -> int:
    """Value of a whole-number setting, in the unit its help names. Raises `SettingInvalid`."""
    return int(value(name))


def number(name: str) -> float:
    """Value of a numeric setting, in the unit its help names. Raises `SettingInvalid`."""
    return float(value(name))


def text(name: str) -> str:
    """Value of a text setting."""
    return str(value(name))


def workspace_path(given: Path | None = None) -> Path:
    """The workspace folder: the one given, else `LOBASS_WORKSPACE`, else `workspace/`. Raises `SettingInvalid`."""
    try:
        path = (given or Path(text("workspace"))).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise SettingInvalid(
            f"The workspace {str(given or text('workspace'))[:80]!r} is not a valid path ({error}). Choose another "
            "with --workspace."
        ) from error
    if not is_unicode(str(path)):
        raise SettingInvalid(
            f"The workspace {str(path)[:200]!r} is in a folder whose name is not valid UTF-8. Rename it, or choose "
            "another with --workspace."
        )
    return path
