"""Readers of the texts in packages: each yields passages of one kind of file, stripped of its markup."""

from __future__ import annotations

import ast
import gzip
import hashlib
import html.parser
import math
import random
import re
import struct
import textwrap
import warnings
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

# A piece is (group, text).  The held-out split is drawn by group (a source file, a chapter, a
# headword), never by piece, so that two halves of one page can't fall on both sides of it.
Piece = tuple[str, str]


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
            entry = re.sub(
                r"\[(1913 Webster|PJC|WordNet 1\.5|Webster 1913 Suppl\.|Century Dict\. 1906|RP|AS|[A-Z]{2,4})\.?\]",
                "",
                entry,
            )
            entry = re.sub(r"\[syn:.*?\]|\[ant:.*?\]", "", entry, flags=re.S)
            entry = re.sub(r"[ \t]*\n[ \t]+", " ", entry)  # unwrap
            entry = re.sub(r" {2,}", " ", entry).strip()
            entry = re.sub(r" (?=(?:\d+\.|\d+:|\([a-z]\)) )", "\n", entry)  # one sense a line
            yield f"{index.stem}:{offset}", entry


BLOCKS = set(
    [
        "p",
        "div",
        "br",
        "li",
        "ul",
        "ol",
        "dl",
        "dt",
        "dd",
        "table",
        "tr",
        "section",
        "article",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "blockquote",
        "figure",
        "header",
        "footer",
        "main",
        "aside",
        "title",
        "para",
        "screen",
        "programlisting",
    ]
)
SKIPPED = set(["script", "style", "nav", "head", "footer", "svg", "button", "form", "figure", "noscript"])
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
        if tag in SKIPPED or (
            tag in ("div", "a", "span")
            and re.search(
                r"headerlink|sidebar|sphinxsidebar|related|navigation|navheader|navfooter|nav-|breadcrumb|footer|highlight-none|linenos|toctree",
                classes,
            )
        ):
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
        page = re.sub(r"\\f[A-Z]|\\f\(..|\\s[+-]?\d|\\&|\\\|", "", page)
        page = (
            page.replace("\\-", "-")
            .replace("\\e", "\\")
            .replace("\\(bu", "-")
            .replace("\\(aq", "'")
            .replace("\\(dq", '"')
        )
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
        if not re.search(
            r"(^|/)(tests?|testing|_vendor|vendor|benchmarks|locale|idlelib|lib2to3)/|test_|_test\.py|conftest", name
        ):
            yield from (p for p in python_pieces(name, source) if 60 <= len(p[1]) <= 3200)
