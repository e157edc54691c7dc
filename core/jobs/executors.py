"""The executors there are, by name. To add one, add its file and a line here."""

from ..data.errors import SettingInvalid
from .executor import Executor
from .local_executor import LocalExecutor
from .ray_executor import RayExecutor

CLUSTER = "ray"
"""The executor whose jobs are computed on a Ray cluster."""
EXECUTORS: dict[str, Executor] = {"local": LocalExecutor(), CLUSTER: RayExecutor()}

DEFAULT_EXECUTOR = "local"
"""What runs a job that names no executor."""


def executor_named(name: str) -> Executor:
    """The executor of that name. Raises `SettingInvalid` naming those there are."""
    if name not in EXECUTORS:
        raise SettingInvalid(f"Unknown executor {name!r}. Must be one of: {', '.join(EXECUTORS)}.")
    return EXECUTORS[name]
