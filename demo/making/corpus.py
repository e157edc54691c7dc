"""The corpus that the demo's base model learns from: which packages, fetched and cut into documents."""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import sys
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from arithmetic import arithmetic
from text_readers import (
    Piece,
    read_dictd,
    read_fortunes,
    read_html,
    read_plain,
    read_pod,
    read_python,
    read_r_data,
    read_roff,
    read_rst,
    read_strings,
    read_sword,
)


@dataclass
class Source:
    """One package to learn from."""

    package: str
    registry: str  # "debian" or "pypi"
    licence: str  # as its copyright file or metadata states it
    genre: str  # prose | dictionary | docs | code
    reader: Callable[..., Iterator[Piece]]
    pattern: str = ""  # regular expression that a file's path must contain
    cap: int = 4_000_000  # most bytes of text taken from it


STDLIB = r"python3\.11/(?!test).*\.py$"
SOURCES: list[Source] = [
    # -- prose
    Source("r-cran-janeaustenr", "debian", "public domain (novels), MIT (package)", "prose", read_r_data),
    Source("r-cran-tokenizers", "debian", "public domain (Moby Dick), MIT (package)", "prose", read_r_data),
    Source("sword-text-web", "debian", "public domain", "prose", read_sword, cap=2_500_000),
    Source("wesnoth-1.16-data", "debian", "GPL-2+", "prose", read_strings, r"(campaigns|core|help).*\.cfg$"),
    *[
        Source(f"wesnoth-1.16-{c}", "debian", "GPL-2+", "prose", read_strings, r"campaigns/.*\.cfg$")
        for c in [
            "httt",
            "sof",
            "tsg",
            "ei",
            "utbs",
            "nr",
            "thot",
            "trow",
            "did",
            "dw",
            "sotbe",
            "l",
            "dm",
            "low",
            "sota",
        ]
    ],
    Source("crawl-common", "debian", "GPL-2+", "prose", read_fortunes, r"dat/descript/[a-z]+\.txt$", 1_200_000),
    Source(
        "fortunes",
        "debian",
        "BSD (collection)",
        "prose",
        read_fortunes,
        r"games/fortunes/(science|wisdom|education|definitions|computers|food|kids|law|platitudes|work|art|medicine|humorists|tao)$",
    ),
    Source(
        "fortunes-min",
        "debian",
        "BSD (collection)",
        "prose",
        read_fortunes,
        r"games/fortunes/(literature|riddles|fortunes)$",
    ),
    Source("dasher-data", "debian", "GPL-2+", "prose", read_plain, r"training_english_GB\.txt$"),
    # -- dictionaries
    Source("dict-wn", "debian", "WordNet 3.0 licence (MIT-like)", "dictionary", read_dictd, cap=6_000_000),
    Source("dict-gcide", "debian", "GPL-2+", "dictionary", read_dictd, cap=3_500_000),
    Source("dict-foldoc", "debian", "GFDL-1.1+ (no invariant sections)", "dictionary", read_dictd, cap=2_500_000),
    Source("dict-jargon", "debian", "public domain", "dictionary", read_dictd, cap=1_500_000),
    Source("dict-devil", "debian", "public domain", "dictionary", read_dictd),
    # -- documentation and explanations
    Source("gnome-user-docs", "debian", "CC-BY-SA-3.0", "docs", read_html, r"help/C/.*\.page$"),
    Source("gnucash-docs", "debian", "GFDL-NIV-1.1+ / GPL-2+", "docs", read_html, r"help/C/.*\.(xml|docbook)$"),
    Source("gimp-help-en", "debian", "GFDL-NIV-1.2+", "docs", read_html, r"\.html$", 2_000_000),
    Source("libreoffice-help-en-us", "debian", "MPL-2.0", "docs", read_html, r"en-US/text/.*\.html$", 2_200_000),
    Source("debian-handbook", "debian", "GPL-2+ / CC-BY-SA-3.0", "docs", read_html, r"/en-US/.*\.html$", 2_000_000),
    Source("debian-reference-en", "debian", "GPL-2+", "docs", read_html, r"\.en\.html$"),
    Source("developers-reference", "debian", "GPL-2+", "docs", read_html, r"developers-reference/[a-z-]+\.html$"),
    Source(
        "rust-doc",
        "debian",
        "MIT / Apache-2.0",
        "docs",
        read_html,
        r"html/(book|embedded-book|edition-guide|cargo|rust-by-example)/(?!print|.*print\.html).*\.html$",
        3_000_000,
    ),
    Source(
        "python3.11-doc",
        "debian",
        "PSF-2.0",
        "docs",
        read_rst,
        r"_sources/(tutorial|howto|faq|library|reference|using|glossary|extending|c-api).*\.rst\.txt$",
        5_000_000,
    ),
    Source(
        "python-django-doc",
        "debian",
        "BSD-3-Clause",
        "docs",
        read_html,
        r"html/(topics|intro|howto|faq|ref|misc)/.*\.html$",
        1_500_000,
    ),
    Source("python-sklearn-doc", "debian", "BSD-3-Clause", "docs", read_rst, r"_sources/.*\.rst\.txt$", 1_300_000),
    Source("postgresql-doc-15", "debian", "PostgreSQL licence (BSD-like)", "docs", read_html, r"\.html$", 1_000_000),
    Source("sqlite3-doc", "debian", "public domain", "docs", read_html, r"\.html$", 1_000_000),
    Source(
        "racket-doc",
        "debian",
        "MIT / Apache-2.0 / LGPL",
        "docs",
        read_html,
        r"racket/(guide|quick|more|continue|how-to)/.*\.html$",
        1_200_000,
    ),
    Source("octave-doc", "debian", "GPL-3+", "docs", read_html, r"octave.*html/.*\.html$", 700_000),
    Source("maxima-doc", "debian", "GPL-2", "docs", read_html, r"maxima_\d+\.html$", 700_000),
    Source(
        "perl-doc", "debian", "Artistic / GPL-1+", "docs", read_pod, r"pod/perl(?!.*delta)[a-z0-9]+\.pod$", 1_200_000
    ),
    Source(
        "manpages-dev",
        "debian",
        "open documentation licences (GPL-2+, BSD, Linux-man-pages)",
        "docs",
        read_roff,
        r"man\d/.*\.gz$",
        500_000,
    ),
    Source(
        "manpages",
        "debian",
        "open documentation licences (GPL-2+, BSD, Linux-man-pages)",
        "docs",
        read_roff,
        r"man\d/.*\.gz$",
        500_000,
    ),
    # -- Python
    Source("libpython3.11-stdlib", "debian", "PSF-2.0", "code", read_python, STDLIB, 3_000_000),
    *[
        Source(name, "pypi", licence, "code", read_python, r"\.py$", cap)
        for name, licence, cap in [
            ("algorithms", "MIT", 2_000_000),
            ("pygorithm", "MIT", 2_000_000),
            ("boltons", "BSD-3-Clause", 2_000_000),
            ("more-itertools", "MIT", 2_000_000),
            ("toolz", "BSD-3-Clause", 2_000_000),
            ("funcy", "BSD-3-Clause", 2_000_000),
            ("pydash", "MIT", 2_000_000),
            ("mathgenerator", "MIT", 2_000_000),
            ("inflect", "MIT", 2_000_000),
            ("textblob", "MIT", 2_000_000),
            ("simpy", "MIT", 2_000_000),
            ("mpmath", "BSD-3-Clause", 2_000_000),
            ("networkx", "BSD-3-Clause", 1_500_000),
            ("nltk", "Apache-2.0", 1_300_000),
            ("sympy", "BSD-3-Clause", 3_500_000),
            ("rich", "MIT", 1_000_000),
            ("numpy", "BSD-3-Clause", 1_300_000),
            ("pandas", "BSD-3-Clause", 800_000),
            ("scipy", "BSD-3-Clause", 1_000_000),
            ("scikit-image", "BSD-3-Clause", 500_000),
            ("scikit-learn", "BSD-3-Clause", 600_000),
            ("statsmodels", "BSD-3-Clause", 500_000),
            ("django", "BSD-3-Clause", 600_000),
        ]
    ],
]


def fetch(source: Source, work: Path) -> tuple[Path, str]:
    """Download and unpack one package with its registry's ordinary client: (folder, version)."""
    work = work.resolve()
    into, down = work / "unpacked" / f"{source.registry}-{source.package}", work / "downloads" / source.package
    if not (into / ".done").exists():
        down.mkdir(parents=True, exist_ok=True)
        into.mkdir(parents=True, exist_ok=True)
        if source.registry == "debian":
            subprocess.run(["apt-get", "download", source.package], cwd=down, check=True, stdout=subprocess.DEVNULL)
            subprocess.run(["dpkg-deb", "-x", str(next(down.glob("*.deb"))), str(into)], check=True)
        else:
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
            subprocess.run([*pip, "-d", str(down), source.package], check=True)
            with zipfile.ZipFile(next(down.glob("*.whl"))) as wheel:
                wheel.extractall(into, [n for n in wheel.namelist() if n.endswith((".py", "METADATA"))])
        (into / ".done").touch()
    file = next(p for p in down.iterdir() if p.suffix in (".deb", ".whl"))
    return into, file.name.split("_" if file.suffix == ".deb" else "-")[1].replace("%3a", ":")


def acceptable(text: str, genre: str) -> bool:
    """Keeps running English (or Python) of a sensible length; drops indexes, tables and other languages."""
    if not 40 <= len(text) <= 4000 or "{{" in text or "overload\n" in text:
        return False
    if sum(c.isascii() for c in text) < 0.96 * len(text):
        return False
    if genre == "code":
        return True
    words = re.findall(r"[A-Za-z]{2,}", text)
    letters = sum(c.isalpha() or c == " " for c in text)
    return len(words) >= (6 if genre in ("dictionary", "prose") else 15) and letters > 0.6 * len(text)


def corpus(work: Path, seed: int, held_out_every: int = 40) -> None:
    """Download, read, normalise, deduplicate and split the text: DIR/train.jsonl, DIR/heldout.jsonl.

    One JSON line a document: {"genre", "source", "text"}.  Duplicates go in two ways: a document
    whose text was seen is dropped, and so is any paragraph of 100 characters or more that another
    document had, which removes boilerplate and the same page in two packages.
    """
    work.mkdir(parents=True, exist_ok=True)
    seen: set[bytes] = set()
    table = []
    with open(work / "train.jsonl", "w") as train, open(work / "heldout.jsonl", "w") as held:

        def put(source: str, genre: str, group: str, text: str) -> int:
            bucket = int(hashlib.sha1(f"{source}/{group}".encode()).hexdigest(), 16) % held_out_every
            line = json.dumps({"genre": genre, "source": source, "text": text}, ensure_ascii=False)
            (held if bucket == 0 else train).write(line + "\n")
            return bucket == 0

        for source in SOURCES:
            root, version = fetch(source, work)
            rng = random.Random(f"{seed}/{source.package}")
            documents = taken = held_bytes = 0
            for group, text in source.reader(root, source.pattern, rng):
                text = unicodedata.normalize("NFC", text).replace("\r", "").strip("\n")
                kept = []
                for paragraph in text.split("\n\n"):
                    key = hashlib.md5(re.sub(r"\W+", "", paragraph.lower()).encode()).digest()
                    if len(paragraph) >= 100 or paragraph == text:
                        if key in seen:
                            continue
                        seen.add(key)
                    kept.append(paragraph)
                text = "\n\n".join(kept)
                if not acceptable(text, source.genre):
                    continue
                size = len(text.encode())
                if taken + size > source.cap:
                    break
                held_bytes += size * put(source.package, source.genre, group, text)
                documents, taken = documents + 1, taken + size
            row = {
                "package": source.package,
                "registry": source.registry,
                "version": version,
                "licence": source.licence,
                "genre": source.genre,
                "documents": documents,
                "bytes": taken,
                "held_out_bytes": held_bytes,
            }
            table.append(row)
            print(f"{source.package:26} {source.genre:10} {documents:7} documents {taken / 1e6:7.2f} MB", flush=True)

        rng, documents, taken, held_bytes = random.Random(seed), 0, 0, 0
        share = 0.06 * sum(r["bytes"] for r in table)  # about 10% of tokens: digits cost one token each
        while taken < share:
            text = arithmetic(rng)
            size = len(text.encode())
            held_bytes += size * put("(generated by this script)", "numbers", str(documents), text)
            documents, taken = documents + 1, taken + size
        table.append(
            {
                "package": "(generated by this script)",
                "registry": "-",
                "version": "-",
                "licence": "this project's",
                "genre": "numbers",
                "documents": documents,
                "bytes": taken,
                "held_out_bytes": held_bytes,
            }
        )
    (work / "corpus.json").write_text(json.dumps(table, indent=1))
    print(f"corpus: {sum(r['documents'] for r in table)} documents, {sum(r['bytes'] for r in table) / 1e6:.1f} MB")
