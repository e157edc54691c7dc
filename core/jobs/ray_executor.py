"""Runs jobs on a Ray cluster: a worker process of this machine divides the work and brings the results back.

The process is that of the local executor, so it outlives whoever starts it, is seen and stopped in the same way, and
writes into the job's folder itself. Only it imports Ray: a program that is connected to a cluster is ended by Ray when
the cluster is lost, which must not happen to the dashboard.
"""

import importlib.util
import subprocess
from pathlib import Path

from ..data.errors import SettingInvalid
from .local_executor import LocalExecutor


class RayExecutor(LocalExecutor):
    """A local process whose work is done on a cluster."""

    def start(self, folder: Path) -> subprocess.Popen[bytes]:
        """Start the process. Raises `SettingInvalid` if Ray is not installed."""
        if not is_installed():
            raise SettingInvalid("The executor ray needs the package ray. Install it with: pip install 'lobass[ray]'")
        return super().start(folder)


def is_installed() -> bool:
    """Whether Ray is installed; it is not imported."""
    return importlib.util.find_spec("ray") is not None
