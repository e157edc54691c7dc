"""The code in documents, for tests that run it."""

import json
import re
from pathlib import Path


def python_blocks(path: Path) -> list[str]:
    """The Python blocks of a page in Markdown, in order."""
    return re.findall(r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), flags=re.M | re.S)


def code_cells(path: Path) -> list[str]:
    """The code cells of a notebook, in order."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
