"""In the wheel, `core` of the dashboard's folder: the installed package `lobass` under the name that pages import.

Only the dashboard's process has that folder on its path, so nothing else finds a package named `core`.
"""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[2]
_spec = spec_from_file_location("core", _PACKAGE / "__init__.py", submodule_search_locations=[str(_PACKAGE)])
assert _spec is not None
assert _spec.loader is not None
sys.modules["core"] = module_from_spec(_spec)
_spec.loader.exec_module(sys.modules["core"])
