"""Pretrain the tiny base language model that the demo fine-tunes, from openly licensed text only.

Everything that LoBaSS Explorer shows is a difference between a *base* model and a fine-tuned one,
so an offline demo needs a base model of its own.  This script makes it, from nothing, on a laptop:

    python demo/pretrain.py --work DIR              # all four steps, about an hour on two cores
    python demo/pretrain.py corpus    --work DIR    # packages of Debian and PyPI -> DIR/train.jsonl
    python demo/pretrain.py tokenizer --work DIR    # byte-level BPE             -> demo/base/
    python demo/pretrain.py train     --work DIR    # Llama, < 8M parameters     -> demo/base/
    python demo/pretrain.py evaluate  --work DIR    # bits per byte beside xz -9 -> demo/base/

The `corpus` step needs Debian's `apt-get` and `dpkg-deb` (package lists fetched once with
`apt-get update`) and `pip`; it never runs code of the packages that it downloads.  The other
steps need torch, transformers, tokenizers and safetensors; the picture needs nothing more.

The result is a base model in the plain sense: it has seen no "User: ... / Assistant: ..." text.
"""

from __future__ import annotations

import argparse
import ast
import collections
import gzip
import hashlib
import html
import html.parser
import json
import lzma
import math
import os
import random
import re
import struct
import subprocess
import sys
import textwrap
import time
import unicodedata
import warnings
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterable, Iterator

HERE = Path(__file__).resolve().parent
BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"

# A piece is (group, text).  The held-out split is drawn by group (a source file, a chapter, a
# headword), never by piece, so that two halves of one page can't fall on both sides of it.
Piece = tuple[str, str]


# ----------------------------------------------------------------------------------------------
# 1. corpus: the packages and how each is read
# ----------------------------------------------------------------------------------------------


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
    stats: dict = field(default_factory=dict)


def ordered(paths: Iterable[str]) -> list[str]:
    """Paths in an order that is fixed but not alphabetical, so that a cap takes a fair sample."""
    return sorted(paths, key=lambda p: hashlib.sha1(p.encode()).hexdigest())


def files_of(root: Path, pattern: str) -> Iterator[tuple[str, str]]:
    """(path inside the package, text) of every file whose path matches; .gz files are opened."""
    names = [str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and not p.is_symlink()]
    for name in ordered(n for n in names if re.search(pattern, n)):
        raw = (root / name).read_bytes()
        if name.endswith(".gz"):
            raw = gzip.decompress(raw)
        yield name, raw.decode("utf-8", "replace")


def passages(paragraphs: Iterable[str], rng: random.Random, low: int = 150, high: int = 2400) -> Iterator[str]:
    """Join a book's paragraphs into passages of very different lengths (low..high characters).

    The lengths are log-uniform because the end-of-document token should be learnt after a short
    answer as much as after a long one.
    """
    bag: list[str] = []
    target = math.exp(rng.uniform(math.log(low), math.log(high)))
    for paragraph in paragraphs:
        bag.append(paragraph)
        if sum(map(len, bag)) >= target:
            yield "\n\n".join(bag)
            bag, target = [], math.exp(rng.uniform(math.log(low), math.log(high)))
    if bag:
        yield "\n\n".join(bag)


def read_dictd(root: Path, pattern: str, rng: random.Random) -> Iterator[Piece]:
    """Entries of a dictd database: one document per headword (offset and length in base 64)."""
    digits = {c: i for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}

    def number(text: str) -> int:
        value = 0
        for char in text:
            value = value * 64 + digits[char]
        return value

    for index in sorted(root.rglob("*.index")):
        data = gzip.decompress(index.with_suffix("").with_suffix(".dict.dz").read_bytes())
        spans = set()
        for line in index.read_text("utf-8", "replace").splitlines():
            word, offset, length = line.split("\t")[:3]
            if not word.startswith("00-") and not word.startswith("00database"):
                spans.add((number(offset), number(length)))
        spans = sorted(spans)
        rng.shuffle(spans)
        for offset, length in spans:
            entry = data[offset : offset + length].decode("utf-8", "replace")
            entry = re.sub(r"[{}\\]", "", entry)  # cross-reference braces, \Headword\ marks
            entry = re.sub(r"\[(1913 Webster|PJC|WordNet 1\.5|Webster 1913 Suppl\.|Century Dict\. 1906|RP|AS|[A-Z]{2,4})\.?\]", "", entry)
            entry = re.sub(r"\[syn:.*?\]|\[ant:.*?\]", "", entry, flags=re.S)
            entry = re.sub(r"[ \t]*\n[ \t]+", " ", entry)  # unwrap
            entry = re.sub(r" {2,}", " ", entry).strip()
            entry = re.sub(r" (?=(?:\d+\.|\d+:|\([a-z]\)) )", "\n", entry)  # one sense a line
            yield f"{index.stem}:{offset}", entry


BLOCKS = set("p div br li ul ol dl dt dd table tr section article h1 h2 h3 h4 h5 h6 blockquote figure header footer main aside title para screen programlisting".split())
SKIPPED = set("script style nav head footer svg button form figure noscript".split())
HEADINGS = {"h1", "h2", "h3", "h4", "title"}


class TextOf(html.parser.HTMLParser):
    """Plain text of a page, in sections: a new one at each heading.  <pre> keeps its layout."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.sections: list[list[str]] = [[]]
        self.skip: list[str] = []
        self.pre = 0

    def handle_starttag(self, tag: str, attrs: list) -> None:
        classes = dict(attrs).get("class") or ""
        if tag in SKIPPED or (tag in ("div", "a", "span") and re.search(r"headerlink|sidebar|sphinxsidebar|related|navigation|navheader|navfooter|nav-|breadcrumb|footer|highlight-none|linenos|toctree", classes)):
            self.skip.append(tag)
        elif self.skip and tag == self.skip[-1]:
            self.skip.append(tag)  # same tag nested: its end must not end the skipping
        if self.skip:
            return
        if tag in HEADINGS:
            self.sections.append([])
        if tag in ("pre", "screen", "programlisting"):
            self.pre += 1
            self.sections[-1].append("\n\n")
        elif tag == "li":
            self.sections[-1].append("\n- ")
        elif tag in ("td", "th"):
            self.sections[-1].append(" ")
        elif tag in BLOCKS:
            self.sections[-1].append("\n" if tag in ("br", "tr", "dt", "dd") else "\n\n")

    def handle_endtag(self, tag: str) -> None:
        if self.skip:
            if tag == self.skip[-1]:
                self.skip.pop()
            return
        if tag in ("pre", "screen", "programlisting"):
            self.pre = max(0, self.pre - 1)
        if tag in BLOCKS or tag == "pre":
            self.sections[-1].append("\n\n" if tag not in ("li", "tr", "dt", "dd") else "\n")

    def handle_data(self, data: str) -> None:
        if not self.skip:
            self.sections[-1].append(data if self.pre else re.sub(r"\s+", " ", data))


def tidy(text: str) -> str:
    """One text with normal whitespace: no trailing blanks, at most one empty line, no list stubs."""
    text = text.replace("¶", "").replace("\u00a0", " ").replace("\u200b", "")
    text = re.sub(r"[ \t]+\n", "\n", text)
    text = re.sub(r"\n- *\n+", "\n- ", text)
    text = re.sub(r"\n{2,}(?=- )", "\n", text)
    text = re.sub(r"^ (?=\S)", "", text, flags=re.M)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def split_long(text: str, limit: int = 3000) -> Iterator[str]:
    """Cut a long section at paragraph ends; a single overlong paragraph (a table) is dropped."""
    bag: list[str] = []
    for paragraph in text.split("\n\n"):
        if len(paragraph) > limit:
            continue
        if bag and sum(map(len, bag)) + len(paragraph) > limit:
            yield "\n\n".join(bag)
            bag = []
        bag.append(paragraph)
    if bag:
        yield "\n\n".join(bag)


def read_html(root: Path, pattern: str, rng: random.Random) -> Iterator[Piece]:
    """Sections of HTML, Mallard or DocBook pages."""
    for name, page in files_of(root, pattern):
        if len(page) > 3_000_000:
            continue  # whole-manual-on-one-page copies
        parser = TextOf()
        parser.feed(re.sub(r"<!\[CDATA\[|\]\]>", "", page))
        for section in parser.sections:
            for part in split_long(tidy("".join(section))):
                yield name, part


def read_rst(root: Path, pattern: str, rng: random.Random) -> Iterator[Piece]:
    """Sections of reStructuredText pages, roles and directives reduced to their text."""
    for name, page in files_of(root, pattern):
        page = re.sub(r":[a-zA-Z:+-]+:`~?!?([^`<]*?)(?: *<[^`>]*>)?`", r"\1", page)  # :func:`x`
        page = re.sub(r"``(.+?)``", r"\1", page)
        page = re.sub(r"`([^`<]+?)(?: *<[^`>]*>)?`_*", r"\1", page)
        page = re.sub(r"^\.\. (?:_.*|index::.*(?:\n +.*)*|\|.*|[a-z-]+::.*)$", "", page, flags=re.M)
        page = re.sub(r"^ *:[a-z-]+:.*$", "", page, flags=re.M)
        page = re.sub(r"^\.\.(?: .*)?(?:\n +.*)*$", "", page, flags=re.M)
        page = re.sub(r"\*\*(.+?)\*\*", r"\1", page).replace("::\n", ":\n")
        lines, start, out = page.splitlines(), 0, []
        for i in range(1, len(lines)):
            if re.fullmatch(r"([=\-~^*#\"+.'])\1{2,}", lines[i].strip()) and lines[i - 1].strip():
                out.append("\n".join(lines[start : i - 1]))
                lines[i] = ""
                start = i - 1
        out.append("\n".join(lines[start:]))
        for section in out:
            section = re.sub(r"^([=\-~^*#\"+.'])\1{2,}$", "", section, flags=re.M)
            for part in split_long(tidy(section)):
                yield name, part


def read_pod(root: Path, pattern: str, rng: random.Random) -> Iterator[Piece]:
    """Sections of Perl's documentation, formatting codes such as C<...> reduced to their text."""
    for name, page in files_of(root, pattern):
        for _ in range(3):  # codes nest
            page = re.sub(r"\b[BCFISL]<<* *(?:[^<>|]*\|)?([^<>]*?) *>>*", r"\1", page)
        page = page.replace("E<gt>", ">").replace("E<lt>", "<")
        page = re.sub(r"^=(?:over|back|cut|pod|encoding|for|begin|end|X).*$", "", page, flags=re.M)
        page = re.sub(r"X<.*?>", "", page)
        for section in re.split(r"^=head\d +", page, flags=re.M):
            for part in split_long(tidy(re.sub(r"^=item +\*? *", "- ", section, flags=re.M))):
                yield name, part


def read_roff(root: Path, pattern: str, rng: random.Random) -> Iterator[Piece]:
    """Sections of manual pages: macros dropped, their arguments kept."""
    for name, page in files_of(root, pattern):
        page = re.sub(r'\\f[A-Z]|\\f\(..|\\s[+-]?\d|\\&|\\\|', "", page)
        page = page.replace("\\-", "-").replace("\\e", "\\").replace("\\(bu", "-").replace("\\(aq", "'").replace("\\(dq", '"')
        page = re.sub(r'^\.\\".*$|^\'.*$', "", page, flags=re.M)
        for section in re.split(r"^\.S[Hh] +", page, flags=re.M)[1:]:
            kept = []
            for line in section.splitlines():
                if line.startswith("."):
                    macro, _, rest = line[1:].partition(" ")
                    if macro in ("B", "I", "BR", "IR", "BI", "RB", "RI", "IB", "SS"):
                        glue = "" if len(macro) == 2 and macro != "SS" else " "
                        kept.append(glue.join(re.findall(r'"[^"]*"|\S+', rest)).replace('"', ""))
                    elif macro in ("PP", "P", "LP", "TP", "IP", "nf", "EX"):
                        kept.append("\n" + (rest.split()[0].strip('"') if macro == "IP" and rest else ""))
                else:
                    kept.append(line)
            text = re.sub(r"(?<=\S)\n(?=\S)", " ", "\n".join(kept))
            for part in split_long(tidy(text)):
                yield name, part


def read_fortunes(root: Path, pattern: str, rng: random.Random) -> Iterator[Piece]:
    """Short quotations and definitions, one document each."""
    for name, page in files_of(root, pattern):
        for i, entry in enumerate(re.split(r"^%+.*$", page, flags=re.M)):
            yield f"{name}:{i}", tidy(re.sub(r"\n(?=[a-z(])", " ", re.sub(r"[\t ]+", " ", entry)))


def read_strings(root: Path, pattern: str, rng: random.Random) -> Iterator[Piece]:
    """The translatable texts of a game's scenario files: narration and dialogue, in order."""
    for name, page in files_of(root, pattern):
        texts = [re.sub(r"<[^<>]*>|text='|'(?=>)", "", t) for t in re.findall(r'_ *"((?:[^"]|"")*)"', page)]
        texts = [re.sub(r"\s+", " ", t.replace('""', '"')).strip() for t in texts if len(t) > 30]
        for part in passages(texts, rng):
            yield name, part


def read_plain(root: Path, pattern: str, rng: random.Random) -> Iterator[Piece]:
    """A plain text file, cut in passages of whole paragraphs."""
    for name, page in files_of(root, pattern):
        paragraphs = [re.sub(r"\s*\n\s*", " ", p).strip() for p in re.split(r"\n\s*\n|\n(?=[A-Z])", page)]
        for i, part in enumerate(passages([p for p in paragraphs if p], rng)):
            yield f"{name}:{i // 20}", part


def read_r_data(root: Path, pattern: str, rng: random.Random) -> Iterator[Piece]:
    """The novels in an R package's data file: lines in order, joined to paragraphs.

    Rdata.rdb is a run of records, each a big-endian length and a zlib stream of R's serialised
    objects, in which a string is a type word ending in 09, a length and its bytes.
    """
    for path in sorted(root.rglob("Rdata.rdb")):
        raw, at = path.read_bytes(), 0
        while at < len(raw) - 4:
            stream = zlib.decompressobj()
            try:
                data = stream.decompress(raw[at + 4 :]) + stream.flush()
            except zlib.error:
                break
            at = len(raw) - len(stream.unused_data)
            lines, i = [], 0
            for match in re.finditer(rb"\x00[\x00-\x0f][\x00\x80]\x09", data):
                if match.start() < i:
                    continue
                (length,) = struct.unpack(">i", data[match.end() : match.end() + 4])
                if 0 <= length < 2_000_000:
                    lines.append(data[match.end() + 4 : match.end() + 4 + length].decode("utf-8", "replace"))
                    i = match.end() + 4 + length
            if sum(map(len, lines)) < 100_000:
                continue  # an index, not a book
            book = re.split(r"\*\*\* ?(?:START|END) OF [^\n]*", "\n".join(lines))
            book = max(book, key=len)  # without the digitiser's notices before and after
            paragraphs = [re.sub(r"\s+", " ", p).strip() for p in book.replace("\r", "").split("\n\n")]
            for j, part in enumerate(passages([p.replace("_", "") for p in paragraphs if p], rng)):
                yield f"{path.parent.parent.name}:{at}:{j // 25}", part


def read_sword(root: Path, pattern: str, rng: random.Random) -> Iterator[Piece]:
    """A SWORD module: zlib blocks (one a book) listed in .bzs as offset, size, plain size."""
    for index in sorted(root.rglob("*.bzs")):
        sizes, data = index.read_bytes(), index.with_suffix(".bzz").read_bytes()
        for offset, size, _ in struct.iter_unpack("<III", sizes):
            try:
                text = zlib.decompress(data[offset : offset + size]).decode("utf-8", "replace")
            except zlib.error:
                continue
            text = re.sub(r"<note.*?</note>|<title.*?</title>|<RF.*?<Rf>", "", text, flags=re.S)
            text = re.sub(r"\s+", " ", re.sub(r"<[^<>]*>", " ", text))
            text = re.sub(r"([“‘(]) ", r"\1", re.sub(r" ([,.;:!?’”)])", r"\1", text))  # marks stood between words
            sentences = re.split(r"(?<=[.!?”’]) +(?=[A-Z“‘])", text)
            for j, part in enumerate(passages([s.strip() for s in sentences], rng, 100, 1500)):
                yield f"{index.stem}:{offset}:{j // 20}", part.replace("\n\n", " ")


def python_pieces(name: str, source: str) -> Iterator[Piece]:
    """Each top-level function, small class and method of a Python file, dedented, with its docstring."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    lines = source.splitlines()

    def segment(node: ast.AST) -> str:
        first = min([node.lineno] + [d.lineno for d in node.decorator_list])
        return textwrap.dedent("\n".join(lines[first - 1 : node.end_lineno])).replace("\t", "    ").rstrip()

    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield name, segment(node)
        elif isinstance(node, ast.ClassDef):
            text = segment(node)
            if len(text) <= 2000:
                yield name, text
            else:
                for inner in node.body:
                    if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                        yield name, segment(inner)


def read_python(root: Path, pattern: str, rng: random.Random) -> Iterator[Piece]:
    """Functions of a package's Python sources.  Tests are left out: they are lists of constants."""
    for name, source in files_of(root, pattern):
        if not re.search(r"(^|/)(tests?|testing|_vendor|vendor|benchmarks|locale|idlelib|lib2to3)/|test_|_test\.py|conftest", name):
            yield from (p for p in python_pieces(name, source) if 60 <= len(p[1]) <= 3200)


STDLIB = r"python3\.11/(?!test).*\.py$"
SOURCES: list[Source] = [
    # -- prose
    Source("r-cran-janeaustenr", "debian", "public domain (novels), MIT (package)", "prose", read_r_data),
    Source("r-cran-tokenizers", "debian", "public domain (Moby Dick), MIT (package)", "prose", read_r_data),
    Source("sword-text-web", "debian", "public domain", "prose", read_sword, cap=2_500_000),
    Source("wesnoth-1.16-data", "debian", "GPL-2+", "prose", read_strings, r"(campaigns|core|help).*\.cfg$"),
    *[Source(f"wesnoth-1.16-{c}", "debian", "GPL-2+", "prose", read_strings, r"campaigns/.*\.cfg$") for c in "httt sof tsg ei utbs nr thot trow did dw sotbe l dm low sota".split()],
    Source("crawl-common", "debian", "GPL-2+ / BSD", "prose", read_fortunes, r"dat/descript/[a-z]+\.txt$", 1_200_000),
    Source("fortunes", "debian", "BSD (collection)", "prose", read_fortunes, r"games/fortunes/(science|wisdom|education|definitions|computers|food|kids|law|platitudes|work|art|medicine|humorists|tao)$"),
    Source("fortunes-min", "debian", "BSD (collection)", "prose", read_fortunes, r"games/fortunes/(literature|riddles|fortunes)$"),
    Source("dasher-data", "debian", "GPL-2+", "prose", read_plain, r"training_english_GB\.txt$"),
    # -- dictionaries
    Source("dict-wn", "debian", "WordNet 3.0 licence (MIT-like)", "dictionary", read_dictd, cap=6_000_000),
    Source("dict-gcide", "debian", "GPL-3+", "dictionary", read_dictd, cap=3_500_000),
    Source("dict-foldoc", "debian", "GFDL", "dictionary", read_dictd, cap=2_500_000),
    Source("dict-jargon", "debian", "public domain", "dictionary", read_dictd, cap=1_500_000),
    Source("dict-devil", "debian", "public domain", "dictionary", read_dictd),
    # -- documentation and explanations
    Source("gnome-user-docs", "debian", "CC-BY-SA-3.0", "docs", read_html, r"help/C/.*\.page$"),
    Source("gnucash-docs", "debian", "GFDL-NIV-1.1+ / GPL-2+", "docs", read_html, r"help/C/.*\.(xml|docbook)$"),
    Source("gimp-help-en", "debian", "GFDL-1.2+", "docs", read_html, r"\.html$", 2_000_000),
    Source("libreoffice-help-en-us", "debian", "MPL-2.0", "docs", read_html, r"en-US/text/.*\.html$", 2_200_000),
    Source("debian-handbook", "debian", "GPL-2+ / CC-BY-SA-3.0", "docs", read_html, r"/en-US/.*\.html$", 2_000_000),
    Source("debian-reference-en", "debian", "GPL-2+", "docs", read_html, r"\.en\.html$"),
    Source("developers-reference", "debian", "GPL-2+", "docs", read_html, r"developers-reference/[a-z-]+\.html$"),
    Source("rust-doc", "debian", "MIT / Apache-2.0", "docs", read_html, r"html/(book|embedded-book|edition-guide|cargo|rust-by-example)/(?!print|.*print\.html).*\.html$", 3_000_000),
    Source("python3.11-doc", "debian", "PSF-2.0", "docs", read_rst, r"_sources/(tutorial|howto|faq|library|reference|using|glossary|extending|c-api).*\.rst\.txt$", 5_000_000),
    Source("python-django-doc", "debian", "BSD-3-Clause", "docs", read_html, r"html/(topics|intro|howto|faq|ref|misc)/.*\.html$", 1_500_000),
    Source("python-sklearn-doc", "debian", "BSD-3-Clause", "docs", read_rst, r"_sources/.*\.rst\.txt$", 1_300_000),
    Source("postgresql-doc-15", "debian", "PostgreSQL licence (BSD-like)", "docs", read_html, r"\.html$", 1_000_000),
    Source("sqlite3-doc", "debian", "public domain", "docs", read_html, r"\.html$", 1_000_000),
    Source("racket-doc", "debian", "MIT / Apache-2.0 / LGPL", "docs", read_html, r"racket/(guide|quick|more|continue|how-to)/.*\.html$", 1_200_000),
    Source("octave-doc", "debian", "GPL-3+", "docs", read_html, r"octave.*html/.*\.html$", 700_000),
    Source("maxima-doc", "debian", "GPL-2", "docs", read_html, r"maxima_\d+\.html$", 700_000),
    Source("perl-doc", "debian", "Artistic / GPL-1+", "docs", read_pod, r"pod/perl(?!.*delta)[a-z0-9]+\.pod$", 1_200_000),
    Source("manpages-dev", "debian", "open documentation licences (GPL-2+, BSD, Linux-man-pages)", "docs", read_roff, r"man\d/.*\.gz$", 500_000),
    Source("manpages", "debian", "open documentation licences (GPL-2+, BSD, Linux-man-pages)", "docs", read_roff, r"man\d/.*\.gz$", 500_000),
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
            row = dict(package=source.package, registry=source.registry, version=version, licence=source.licence,
                       genre=source.genre, documents=documents, bytes=taken, held_out_bytes=held_bytes)
            table.append(row)
            print(f"{source.package:26} {source.genre:10} {documents:7} documents {taken/1e6:7.2f} MB", flush=True)

        rng, documents, taken, held_bytes = random.Random(seed), 0, 0, 0
        share = 0.06 * sum(r["bytes"] for r in table)  # about 10% of tokens: digits cost one token each
        while taken < share:
            text = arithmetic(rng)
            size = len(text.encode())
            held_bytes += size * put("(generated by this script)", "numbers", str(documents), text)
            documents, taken = documents + 1, taken + size
        table.append(dict(package="(generated by this script)", registry="-", version="-", licence="this project's",
                          genre="numbers", documents=documents, bytes=taken, held_out_bytes=held_bytes))
    (work / "corpus.json").write_text(json.dumps(table, indent=1))
    print(f"corpus: {sum(r['documents'] for r in table)} documents, {sum(r['bytes'] for r in table)/1e6:.1f} MB")


# -- arithmetic that the script writes itself: digits need more repetition than books have ---------

NAMES = "Anna Ben Clara David Ella Frank Grace Henry Ida Jack Kate Leo Maria Nina Oscar Paul Rosa Sam Tina Victor Wendy Yusuf Zoe Omar Li Priya".split()
THINGS = "apples marbles books pencils stamps cookies oranges shells coins cards stickers buttons eggs flowers bottles chairs tickets bricks".split()
PLACES = "shop school farm library market bakery museum station garden factory".split()


def arithmetic(rng: random.Random) -> str:
    """One short document of arithmetic: bare sums, worked steps or a small story, always correct."""
    a, b, c = (rng.randint(2, 10 ** rng.choice([1, 1, 2, 2, 3])) for _ in range(3))
    who, other = rng.sample(NAMES, 2)
    thing, place = rng.choice(THINGS), rng.choice(PLACES)
    small, few = rng.randint(2, 12), rng.randint(2, 9)
    price = rng.randint(2, 25)
    kind = rng.randrange(22)
    if kind <= 3:  # a few bare facts
        lines = []
        for _ in range(rng.randint(1, 8)):
            x, y = (rng.randint(0, 10 ** rng.choice([1, 2, 2, 3])) for _ in range(2))
            s, t = rng.randint(2, 12), rng.randint(2, 30)
            lines.append(rng.choice([f"{x} + {y} = {x + y}", f"{max(x, y)} - {min(x, y)} = {abs(x - y)}", f"{s} * {t} = {s * t}",
                                     f"{s} x {t} = {s * t}", f"{s * t} / {s} = {t}"]))
        return rng.choice(["\n", "\n", ", "]).join(lines)
    if kind == 4:
        return f"The sum of {a} and {b} is {a + b}, because {a} + {b} = {a + b}."
    if kind == 5:
        return f"The difference between {a + b} and {a} is {b}. To check it, add {a} + {b} = {a + b}."
    if kind == 6:
        return f"{who} had {a} {thing}. {other} gave {who} {b} more. Now {who} has {a} + {b} = {a + b} {thing}."
    if kind == 7:
        return f"{who} had {a + b} {thing} and gave {a} of them to {other}. That leaves {a + b} - {a} = {b} {thing}."
    if kind == 8:
        return f"There are {small} boxes with {few} {thing} in each box. Altogether there are {small} * {few} = {small * few} {thing}."
    if kind == 9:
        return f"{small * few} {thing} are shared equally among {few} people. Each person gets {small * few} / {few} = {small} {thing}."
    if kind == 10:
        return (f"At the {place}, one ticket costs {price} dollars. {who} buys {few} tickets, so the cost is {few} * {price} = {few * price} dollars. "
                f"{who} pays with {few * price + small} dollars and gets {few * price + small} - {few * price} = {small} dollars back.")
    if kind == 11:
        pct, base = rng.choice([5, 10, 20, 25, 50, 75]), rng.randint(1, 30) * 20
        return f"{pct}% of {base} is {base * pct // 100}, since {base} * {pct} / 100 = {base * pct} / 100 = {base * pct // 100}."
    if kind == 12:
        x, y = rng.randint(12, 99), rng.randint(3, 9)
        return f"To compute {x} * {y}, split {x} into {x // 10 * 10} + {x % 10}.\n{x // 10 * 10} * {y} = {x // 10 * 10 * y}\n{x % 10} * {y} = {x % 10 * y}\n{x // 10 * 10 * y} + {x % 10 * y} = {x * y}\nSo {x} * {y} = {x * y}."
    if kind == 13:
        return f"A train travels {price * 5} kilometres in one hour. In {few} hours it travels {price * 5} * {few} = {price * 5 * few} kilometres."
    if kind == 14:
        step, start = rng.randint(2, 15), rng.randint(0, 40)
        return f"Counting by {step} from {start}: " + ", ".join(str(start + i * step) for i in range(rng.randint(5, 12))) + "."
    if kind == 15:
        return f"A rectangle is {small} metres long and {few} metres wide. Its area is {small} * {few} = {small * few} square metres and its perimeter is 2 * ({small} + {few}) = {2 * (small + few)} metres."
    if kind == 16:
        return f"{who} is {small + few} years old. {other} is {few} years younger, so {other} is {small + few} - {few} = {small} years old. Together they are {small + few} + {small} = {2 * small + few} years old."
    if kind == 17:
        n = rng.randint(1, 9)
        return rng.choice([f"{n} hours are {n} * 60 = {n * 60} minutes.", f"{n} weeks are {n} * 7 = {n * 7} days.", f"{n} metres are {n} * 100 = {n * 100} centimetres.",
                           f"{n} dozen {thing} are {n} * 12 = {n * 12} {thing}.", f"{n} kilograms are {n} * 1000 = {n * 1000} grams."])
    if kind == 18:
        day = [rng.randint(1, 30) for _ in range(3)]
        return (f"On Monday the {place} sold {day[0]} {thing}, on Tuesday {day[1]} and on Wednesday {day[2]}. "
                f"First, {day[0]} + {day[1]} = {day[0] + day[1]}. Then {day[0] + day[1]} + {day[2]} = {sum(day)}. In total it sold {sum(day)} {thing}.")
    if kind == 19:
        x = rng.randint(1, 40)
        return f"Solve x + {a} = {a + x}. Subtract {a} from both sides: x = {a + x} - {a} = {x}."
    if kind == 20:
        big, less = max(a, b), min(a, b)
        return f"{big} is greater than or equal to {less}, and {big} - {less} = {big - less}." if rng.random() < 0.5 else f"Half of {2 * a} is {a} and twice {a} is {2 * a}."
    return (f"{who} earns {price} dollars an hour and works {small} hours. That makes {price} * {small} = {price * small} dollars. "
            f"After spending {few} dollars, {who} has {price * small} - {few} = {price * small - few} dollars.")


# ----------------------------------------------------------------------------------------------
# 2. tokenizer
# ----------------------------------------------------------------------------------------------

# Every role's turn ends in a newline and "Assistant:" never carries a trailing space, so the render
# of messages[:i] with the generation prompt is a prefix of the render of messages[:i + 1], as a
# string and as tokens (" The" is one token after ":").
CHAT_TEMPLATE = (
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{%- if message['role'] == 'system' %}{{- message['content'] + '\\n\\n' }}"
    "{%- elif message['role'] == 'user' %}{{- 'User: ' + message['content'] + '\\n' }}"
    "{%- elif message['role'] == 'assistant' %}{{- 'Assistant: ' + message['content'] + eos_token + '\\n' }}"
    "{%- elif message['role'] == 'tool' %}{{- 'Tool: ' + message['content'] + '\\n' }}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- 'Assistant:' }}{%- endif %}"
)


def documents(path: Path) -> Iterator[dict]:
    """Documents of a corpus file, one dict each."""
    with open(path) as file:
        for line in file:
            yield json.loads(line)


def tokenizer(work: Path, base: Path, vocabulary: int) -> None:
    """Train the byte-level BPE on the training documents and write it with the chat template.

    All 256 bytes are in the vocabulary, so nothing is ever unknown.  Digits stand alone, because
    a model this small adds column by column or not at all.  Calling it adds no special token:
    rendered chat text brings its own <|bos|>, and a second one would shift every loss.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[BOS, EOS, PAD], min_frequency=2, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), max_token_length=16,
    )
    bpe.train_from_iterator((d["text"] for d in documents(work / "train.jsonl")), trainer)
    base.mkdir(parents=True, exist_ok=True)
    bpe.save(str(base / "tokenizer.json"))
    config = dict(
        tokenizer_class="PreTrainedTokenizerFast", bos_token=BOS, eos_token=EOS, pad_token=PAD, unk_token=None,
        add_bos_token=False, add_eos_token=False, clean_up_tokenization_spaces=False, model_max_length=1024,
        model_input_names=["input_ids", "attention_mask"], padding_side="right", chat_template=CHAT_TEMPLATE,
    )
    (base / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    print(f"tokenizer: {bpe.get_vocab_size()} tokens")


# ----------------------------------------------------------------------------------------------
# 3. train
# ----------------------------------------------------------------------------------------------


def encode(work: Path, base: Path, split: str) -> "tuple[list[str], list[list[int]]]":
    """(genre, token ids) of each document of a split, as <|bos|> text <|eos|>."""
    from tokenizers import Tokenizer

    bpe = Tokenizer.from_file(str(base / "tokenizer.json"))
    bos, eos = bpe.token_to_id(BOS), bpe.token_to_id(EOS)
    genres, ids, batch = [], [], []

    def flush() -> None:
        for doc, encoding in zip(batch, bpe.encode_batch([d["text"] for d in batch])):
            genres.append(doc["genre"])
            ids.append([bos, *encoding.ids, eos])
        batch.clear()

    for doc in documents(work / f"{split}.jsonl"):
        batch.append(doc)
        if len(batch) == 4096:
            flush()
    flush()
    return genres, ids


def pack(work: Path, base: Path, length: int, prose_epochs: int, seed: int) -> "torch.Tensor":
    """Shuffled training documents laid end to end and cut in rows: int16 tokens, (rows, length).

    Prose goes in `prose_epochs` times, the rest once: books are the scarcest kind here and the
    closest to what the demo's chat examples ask for.
    """
    import numpy as np
    import torch

    genres, ids = encode(work, base, "train")
    order = [i for i, g in enumerate(genres) for _ in range(prose_epochs if g == "prose" else 1)]
    random.Random(seed).shuffle(order)
    counts: dict[str, int] = collections.Counter()
    for genre, row in zip(genres, ids):
        counts[genre] += len(row)
    flat = np.concatenate([np.asarray(ids[i], dtype=np.int16) for i in order])
    rows = len(flat) // length
    (work / "tokens.json").write_text(json.dumps(dict(distinct=sum(counts.values()), by_genre=counts, packed=rows * length, prose_epochs=prose_epochs)))
    print(f"tokens: {sum(counts.values())/1e6:.2f}M distinct, {rows*length/1e6:.2f}M packed, {dict(counts)}", flush=True)
    return torch.from_numpy(flat[: rows * length].reshape(rows, length))


def save_model(model, base: Path, **log) -> None:
    """Write config, bf16 weights and the log, each file replaced in one step so readers see whole files."""
    import torch
    from safetensors.torch import save_file

    def replace(name: str, write: Callable[[Path], None]) -> None:
        part = base / f".{name}.part"
        write(part)
        os.replace(part, base / name)

    config = model.config.to_dict() | {"torch_dtype": "bfloat16", "dtype": "bfloat16", "architectures": ["LlamaForCausalLM"]}
    config.pop("_name_or_path", None)
    ids = dict(bos_token_id=config["bos_token_id"], eos_token_id=config["eos_token_id"], pad_token_id=config["pad_token_id"])
    replace("config.json", lambda p: p.write_text(json.dumps(config, indent=1) + "\n"))
    replace("generation_config.json", lambda p: p.write_text(json.dumps(ids | {"max_new_tokens": 128}, indent=1) + "\n"))
    # lm_head is the embedding (tied): stored once
    weights = {k: v.detach().to(torch.bfloat16).contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    replace("model.safetensors", lambda p: save_file(weights, str(p), metadata={"format": "pt"}))
    if log:
        replace("training_log.json", lambda p: p.write_text(json.dumps(log, indent=1) + "\n"))


def train(work: Path, base: Path, args: argparse.Namespace) -> None:
    """Pretrain and write demo/base/, with a first loadable checkpoint after `--first-save` seconds.

    fp32 weights under bf16 autocast; Muon for the matrices inside the blocks and AdamW for the
    embedding and norms; the learning rate warms up, stays flat, and falls to zero over the last
    part.  Progress is the larger of tokens used and minutes used, so `--minutes` is a true limit
    and the fall to zero always happens.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    data = pack(work, base, args.context, args.prose_epochs, args.seed)
    _, held = encode(work, base, "heldout")
    random.Random(0).shuffle(held)
    check = torch.tensor([t for row in held for t in row][: 64 * args.context]).view(64, args.context)

    config = LlamaConfig(
        vocab_size=args.vocabulary, hidden_size=args.hidden, intermediate_size=args.intermediate, num_hidden_layers=args.layers,
        num_attention_heads=args.heads, num_key_value_heads=args.heads, max_position_embeddings=1024, rms_norm_eps=1e-5,
        tie_word_embeddings=True, bos_token_id=0, eos_token_id=1, pad_token_id=2, initializer_range=0.02,
    )
    model = LlamaForCausalLM(config)
    parameters = sum(p.numel() for p in model.parameters())
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers = [
        torch.optim.Muon(matrices, lr=args.lr, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=args.lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]

    def loss_of(tokens: "torch.Tensor") -> "torch.Tensor":  # tokens (batch, context) -> mean nats a token
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=tokens, use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits[:, :-1].float().reshape(-1, args.vocabulary), tokens[:, 1:].reshape(-1))

    step_loss = torch.compile(loss_of) if args.compile else loss_of

    @torch.no_grad()
    def held_out_loss() -> float:
        return sum(loss_of(check[i : i + 8]).item() for i in range(0, len(check), 8)) / (len(check) // 8)

    per_step = args.micro_batch * args.accumulate * args.context
    budget = min(args.tokens, len(data) * args.context)
    curve, seen, step, last_save, row = [], 0, 0, 0.0, 0
    began = time.time()
    print(f"model: {parameters/1e6:.2f}M parameters; {budget/1e6:.1f}M tokens, {per_step} a step", flush=True)
    while True:
        elapsed = time.time() - began
        progress = max(seen / budget, elapsed / (60 * args.minutes))
        if progress >= 1 or row + args.micro_batch * args.accumulate > len(data):
            break
        rate = args.lr * min(1.0, (step + 1) / args.warmup) * min(1.0, (1 - progress) / args.decay)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        total = 0.0
        for _ in range(args.accumulate):
            tokens = data[row : row + args.micro_batch].long()
            row += args.micro_batch
            loss = step_loss(tokens) / args.accumulate
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        step, seen = step + 1, seen + per_step
        smooth = total if not curve and step == 1 else 0.95 * smooth + 0.05 * total
        if step % 20 == 0:
            point = dict(step=step, tokens=seen, seconds=round(time.time() - began, 1), train_loss=round(smooth, 4), lr=rate)
            if step % args.check_every == 0:
                point["held_out_loss"] = round(held_out_loss(), 4)
            curve.append(point)
            print(f"{point}  {seen/(time.time()-began):.0f} tok/s", flush=True)
        now = time.time() - began
        if now > args.first_save and now - last_save > args.save_every:
            last_save = now
            save_model(model, base, complete=False, tokens_seen=seen, seconds=round(now), curve=curve)
    seconds = time.time() - began
    final = held_out_loss()
    curve.append(dict(step=step, tokens=seen, seconds=round(seconds, 1), train_loss=round(smooth, 4), lr=0.0, held_out_loss=round(final, 4)))
    settings = {k: v for k, v in vars(args).items() if k not in ("work", "base", "step")}
    save_model(model, base, complete=True, parameters=parameters, tokens_seen=seen, seconds=round(seconds),
               corpus_tokens=json.loads((work / "tokens.json").read_text()), settings=settings, curve=curve)
    torch.save({k: v for k, v in model.state_dict().items()}, work / "model_fp32.pt")
    draw(base, HERE / "loss_curve.svg")
    print(f"train: {seen/1e6:.2f}M tokens in {seconds/60:.1f} min, held-out loss {final:.4f}")


def draw(base: Path, path: Path) -> None:
    """The loss curve as a small SVG, drawn by hand so that no plotting package is needed."""
    log = json.loads((base / "training_log.json").read_text())
    curve = log["curve"]
    width, height, left, bottom, top = 720, 360, 60, 46, 30
    xmax = curve[-1]["tokens"] / 1e6
    values = [p["train_loss"] for p in curve] + [p["held_out_loss"] for p in curve if "held_out_loss" in p]
    low, high = math.floor(min(values) * 2) / 2, math.ceil(max(values) * 2) / 2
    x = lambda t: left + (width - left - 20) * (t / 1e6) / xmax
    y = lambda v: top + (height - top - bottom) * (high - v) / (high - low)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="white"/>']
    v = low
    while v <= high + 1e-9:
        out.append(f'<line x1="{left}" x2="{width-20}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="#ddd"/><text x="{left-8}" y="{y(v)+4:.1f}" text-anchor="end">{v:.1f}</text>')
        v += 0.5
    ticks = max(1, round(xmax / 8))
    for t in range(0, int(xmax) + 1, ticks):
        out.append(f'<text x="{x(t*1e6):.1f}" y="{height-bottom+18}" text-anchor="middle">{t}</text>')
    out.append(f'<text x="{(left+width)/2}" y="{height-8}" text-anchor="middle">training tokens (millions)</text>')
    out.append(f'<text x="{left}" y="18">loss, nats per token (training: smoothed)</text>')
    for key, colour, name, at in (("train_loss", "#7aa6d8", "training", 0), ("held_out_loss", "#c0392b", "held out", 1)):
        points = " ".join(f"{x(p['tokens']):.1f},{y(p[key]):.1f}" for p in curve if key in p)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.append(f'<text x="{width-110}" y="{top+18+18*at}" fill="{colour}">{name}</text>')
    path.write_text("\n".join(out + ["</svg>"]) + "\n")


# ----------------------------------------------------------------------------------------------
# 4. evaluate
# ----------------------------------------------------------------------------------------------

PROMPTS = ["The sun is", "A dictionary is a book that", "She looked at him and", "12 + 7 =", "Anna had 8 apples. Ben gave Anna 5 more.",
           "def factorial(n):\n", "To open a file,", "water\nn 1:"]


def evaluate(work: Path, base: Path, bytes_per_genre: int) -> None:
    """Bits per byte on held-out documents, by genre, beside xz -9 on the same text.

    The model sees each document on its own, <|bos|> first, and pays for the text's tokens and for
    <|eos|>.  xz sees the whole held-out sample at once, documents joined by an empty line, with
    the bits of its file divided by the same bytes (the documents' own, without the joins); it
    keeps what it learnt from one document to the next, which the model does not.
    A document over 1,024 tokens is scored in parts, each from a fresh <|bos|>.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(2)
    names = AutoTokenizer.from_pretrained(base)
    model, info = AutoModelForCausalLM.from_pretrained(base, use_safetensors=True, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    model.eval()
    rng = random.Random(0)
    texts: dict[str, list[str]] = collections.defaultdict(list)
    for doc in documents(work / "heldout.jsonl"):
        texts[doc["genre"]].append(doc["text"])
    table, everything = {}, []
    all_bits = all_bytes = all_tokens = 0.0
    for genre in ("prose", "dictionary", "docs", "code", "numbers"):
        rng.shuffle(texts[genre])
        sample, size = [], 0
        for text in texts[genre]:
            if size >= bytes_per_genre:
                break
            sample.append(text)
            size += len(text.encode())
        rows = []
        for text in sample:
            ids = names(text, add_special_tokens=False)["input_ids"] + [names.eos_token_id]
            rows += [[names.bos_token_id, *ids[i : i + 1023]] for i in range(0, len(ids), 1023)]
        rows.sort(key=len)
        bits = tokens = 0.0
        with torch.inference_mode():
            for i in range(0, len(rows), 16):
                batch = rows[i : i + 16]
                width = max(map(len, batch))
                x = torch.tensor([r + [names.pad_token_id] * (width - len(r)) for r in batch])
                logits = model(input_ids=x, attention_mask=(x != names.pad_token_id).long()).logits
                loss = torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), x[:, 1:], ignore_index=names.pad_token_id, reduction="sum")
                bits += loss.item() / math.log(2)
                tokens += sum(len(r) - 1 for r in batch)
        packed = len(lzma.compress("\n\n".join(sample).encode(), preset=9 | lzma.PRESET_EXTREME)) * 8
        table[genre] = dict(documents=len(sample), bytes=size, tokens=int(tokens), bytes_per_token=round(size / tokens, 3),
                            nats_per_token=round(bits * math.log(2) / tokens, 4), model=round(bits / size, 4), xz9e=round(packed / size, 4))
        everything += sample
        all_bits, all_bytes, all_tokens = all_bits + bits, all_bytes + size, all_tokens + tokens
        print(genre, table[genre], flush=True)
    packed = len(lzma.compress("\n\n".join(everything).encode(), preset=9 | lzma.PRESET_EXTREME)) * 8
    table["overall"] = dict(documents=len(everything), bytes=int(all_bytes), tokens=int(all_tokens), bytes_per_token=round(all_bytes / all_tokens, 3),
                            nats_per_token=round(all_bits * math.log(2) / all_tokens, 4), model=round(all_bits / all_bytes, 4), xz9e=round(packed / all_bytes, 4))
    print("overall", table["overall"])
    samples = []
    for prompt in PROMPTS:
        ids = torch.tensor([[names.bos_token_id] + names(prompt, add_special_tokens=False)["input_ids"]])
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=60, do_sample=False)
        samples.append([prompt, names.decode(out[0, ids.shape[1] :], skip_special_tokens=False)])
        print("---", repr(prompt), "->", repr(samples[-1][1]))
    (base / "evaluation.json").write_text(json.dumps(dict(unit="bits per byte", held_out=table, greedy_samples=samples), indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", nargs="?", default="all", choices=["all", "corpus", "tokenizer", "train", "evaluate"])
    parser.add_argument("--work", type=Path, required=True, help="folder for downloads and the corpus (about 3 GB)")
    parser.add_argument("--base", type=Path, default=HERE / "base", help="folder the model is written to")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--intermediate", type=int, default=688)
    parser.add_argument("--context", type=int, default=512, help="tokens in a training row")
    parser.add_argument("--micro-batch", type=int, default=8, help="rows in a forward pass")
    parser.add_argument("--accumulate", type=int, default=2, help="forward passes in a step")
    parser.add_argument("--tokens", type=float, default=30e6, help="most tokens to train on")
    parser.add_argument("--minutes", type=float, default=41, help="most minutes to train")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--warmup", type=int, default=50, help="steps")
    parser.add_argument("--decay", type=float, default=0.5, help="last part of training over which the rate falls to zero")
    parser.add_argument("--prose-epochs", type=int, default=2, help="times that prose goes in; the rest goes in once")
    parser.add_argument("--check-every", type=int, default=100, help="steps between held-out losses (a multiple of 20)")
    parser.add_argument("--first-save", type=float, default=240, help="seconds")
    parser.add_argument("--save-every", type=float, default=480, help="seconds")
    parser.add_argument("--compile", action="store_true", help="torch.compile the step (needs a C++ compiler)")
    parser.add_argument("--bytes-per-genre", type=int, default=200_000, help="held-out sample for evaluate")
    args = parser.parse_args()
    if args.step in ("all", "corpus"):
        corpus(args.work, args.seed)
    if args.step in ("all", "tokenizer"):
        tokenizer(args.work, args.base, args.vocabulary)
    if args.step in ("all", "train"):
        train(args.work, args.base, args)
    if args.step in ("all", "evaluate"):
        evaluate(args.work, args.base, args.bytes_per_genre)


if __name__ == "__main__":
    main()
