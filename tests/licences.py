"""The licences of what is installed, as the packages declare them: python -m tests.licences > docs/licences.md."""

import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from packaging.markers import Marker

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib",
}  # fmt: skip
"""Licences that ask at most to be named, or (MPL-2.0) to publish changes to their own files."""

_DECLARED = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
_HEAD = """# Licences of what is installed

What each package of `requirements.lock`, and torch, declares in its own metadata. Written by
`python -m tests.licences > docs/licences.md`; `tests/test_supply_chain.py` holds it to what is installed and to the
list of licences that are accepted. BSD without a number is all that the package says.

| package | licence |
|---|---|
"""


def locked() -> dict[str, str]:
    """Version by name of every package of the lock file that this machine needs."""
    pins = re.findall(r"^([\w.-]+)==(\S+?)(?: ; (.*?))?(?: \\)?$", LOCK.read_text(encoding="utf-8"), flags=re.M)
    return {name: version for name, version, marker in pins if not marker or Marker(marker).evaluate()}


def licence_of(package: str) -> str:
    """The SPDX expression that an installed package declares, or the words of its classifier or its licence field."""
    fields = metadata(package)
    if expression := fields.get("License-Expression"):
        return str(expression)
    classifiers = [text.rsplit(" :: ", 1)[1] for text in fields.get_all("Classifier") or [] if "License ::" in text]
    words = (fields.get("License") or "").strip()
    said = classifiers or [words.split("\n")[0]]
    return " AND ".join(_DECLARED.get(each, each) for each in said)


def licences_in(expression: str) -> list[str]:
    """The licences that an expression names."""
    return [name for name in re.split(r" AND | OR |[()]", expression) if name.strip()]


def table() -> str:
    """The document."""
    rows = []
    for name in sorted([*locked(), "torch"]):
        try:
            rows.append(f"| {name} | {licence_of(name)} |\n")
        except PackageNotFoundError:
            rows.append(f"| {name} | not installed here |\n")
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(table())
