"""Every number and path that a person may change, in one table; the environment overrides the default."""

import os
from dataclasses import dataclass
from pathlib import Path

from .errors import SettingInvalid


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: `LOBASS_<NAME>` in the environment overrides `default`; the type is the default's."""

    name: str
    default: int | float | str
    help: str

    @property
    def variable(self) -> str:
        """Name of the environment variable that overrides this setting."""
        return f"LOBASS_{self.name.upper()}"


SETTINGS = (
    Setting("workspace", "workspace", "Folder of the store, jobs, trained references and exports."),
    Setting("max_line_bytes", 16 * 2**20, "A longer JSONL line, JSON record or CSV record is rejected [bytes]."),
    Setting("max_unpacked_bytes", 32 * 2**30, "A compressed file that unpacks to more is refused [bytes]."),
    Setting("max_json_depth", 64, "A record nested deeper is rejected [levels]."),
    Setting("max_upload_megabytes", 200, "Largest upload through the page; larger files come by server path [MB]."),
    Setting("max_length", 2048, "Tokens kept of an example; the rest of a longer response is cut off [tokens]."),
    Setting("cpu_batch_tokens", 2048, "Tokens of one scoring batch on a CPU [tokens]."),
    Setting("cuda_batch_tokens", 32768, "Tokens of one scoring batch on a GPU; halved when memory runs out [tokens]."),
    Setting("scoring_processes", 0, "Processes that divide a scoring job; 0 means one a GPU, and one on a CPU."),
    Setting("encoding_processes", -1, "Processes tokenising ahead of each that scores; -1 means 1 on a GPU, else 0."),
    Setting("executor", "local", "What runs jobs: local means processes of this machine."),
    Setting("shard_seconds", 2.0, "A worker writes what it has finished at least this often [seconds]."),
    Setting("low_base_loss", 0.05, "Below this base loss a row is flagged low_base_loss [nats per token]."),
    Setting("template_seconds", 2.0, "A chat template that takes longer for one conversation fails [seconds]."),
    Setting("template_megabytes", 512, "Memory that a chat template may take for one conversation [MB]."),
    Setting("tokenizer_seconds", 60.0, "A tokenizer that takes longer for a batch fails [s, 1 more per 20,000 char.]."),
    Setting("allowed_folders", ".", "Folders that the dashboard's users may name files in, besides the workspace."),
    Setting("demo_epochs", 3.0, "Passes over the data when the demo's reference is trained."),
    Setting("token_worker_idle_seconds", 300.0, "The worker of the token view ends after so long unasked [seconds]."),
    Setting("store_memory", "4GB", "Memory the store may use before it spills to disk."),
    Setting("store_threads", 0, "Threads the store may use; 0 means as many as there are cores."),
    Setting("allow_open", 0, "1 serves a dashboard that other machines reach and that asks nobody to log in."),
    Setting("download_megabytes", 50, "Largest export offered as a browser download; larger ones stay on disk [MB]."),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}


def _value(name: str) -> int | float | str:
    setting = _BY_NAME[name]
    raw = os.environ.get(setting.variable)
    if raw is None:
        return setting.default
    try:
        return type(setting.default)(raw)
    except ValueError:
        kind = "whole number" if isinstance(setting.default, int) else "number"
        raise SettingInvalid(
            f"{setting.variable} is {raw[:80]!r}, which is no {kind}. Set it to one, such as {setting.default}, or "
            "take it out of the environment."
        ) from None


def check_settings() -> None:
    """Raise `SettingInvalid` for the first setting that the environment gives a value it cannot have."""
    for setting in SETTINGS:
        _value(setting.name)


def integer(name: str) -> int:
    """Value of a whole-number setting, in the unit its help names. Raises `SettingInvalid`."""
    return int(_value(name))


def number(name: str) -> float:
    """Value of a numeric setting, in the unit its help names. Raises `SettingInvalid`."""
    return float(_value(name))


def text(name: str) -> str:
    """Value of a text setting."""
    return str(_value(name))


def workspace_path(given: Path | None = None) -> Path:
    """The workspace folder: the one given, else `LOBASS_WORKSPACE`, else `workspace/`."""
    return (given or Path(text("workspace"))).expanduser().resolve()
