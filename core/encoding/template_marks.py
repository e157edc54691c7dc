"""Makes a chat template mark its output: where each loop iteration begins, and where the texts given to it are.

A mark is a run of noncharacters (U+FDD0 to U+FDDB), which never occur in text. Marks between turns are written between
the template's own statements, so none of its tests or filters sees them. Marks around a text pass through the template
with the text; the caller checks that they changed nothing else.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, Template, nodes

_OPEN, _CLOSE, _ZERO = "\ufdd0", "\ufdd1", 0xFDD2
_MARK = re.compile(f"{_OPEN}([\ufdd2-\ufddb]+){_CLOSE}")
NONCHARACTERS = re.compile("[\ufdd0-\ufddb]")
TURN, TURNS_END, STEP, STEPS_END, FIRST_PIECE = range(5)
"""Marks written by a template: an iteration of an outermost loop begins, such a loop ends; the same for inner loops."""


def mark(number: int) -> str:
    """The mark with this number."""
    return _OPEN + "".join(chr(_ZERO + int(digit)) for digit in str(number)) + _CLOSE


@dataclass(frozen=True, slots=True)
class Marked:
    """A text without marks, and the marks in order: number and position in the text."""

    text: str
    marks: tuple[tuple[int, int], ...]


def read_marks(output: str) -> Marked:
    """Separate the marks from a template's output."""
    pieces, marks, length, at = [], [], 0, 0
    for found in _MARK.finditer(output):
        pieces.append(output[at : found.start()])
        length += found.start() - at
        marks.append((int("".join(str(ord(digit) - _ZERO) for digit in found[1])), length))
        at = found.end()
    pieces.append(output[at:])
    return Marked("".join(pieces), tuple(marks))


def marking_template(environment: Environment, source: str, variables: dict[str, Any]) -> Template:
    """Compile a template that marks its loops. Raises `jinja2.TemplateSyntaxError`."""
    tree = environment.parse(source)
    tree.body = list(_with_marks(tree.body, TURN))
    tree.set_environment(environment)
    code: Any = environment.compile(tree)
    return environment.template_class.from_code(environment, code, environment.make_globals(variables))


def _with_marks(body: list[nodes.Node], kind: int) -> Iterator[nodes.Node]:
    """Statements, with marks in and after the loops that write to the output. Not in macros and captured blocks: the
    template receives their text and may test it."""
    for node in body:
        if isinstance(node, nodes.If):
            node.body = list(_with_marks(node.body, kind))
            node.else_ = list(_with_marks(node.else_, kind))
            for branch in node.elif_:
                branch.body = list(_with_marks(branch.body, kind))
        elif isinstance(node, nodes.CallBlock | nodes.With | nodes.Scope | nodes.Block):
            node.body = list(_with_marks(node.body, kind))
        elif isinstance(node, nodes.For) and not node.recursive:
            node.body = [_written(kind, node.lineno), *_with_marks(node.body, STEP)]
            yield node
            yield _written(kind + 1, node.lineno)
            continue
        yield node


def _written(number: int, line: int) -> nodes.Output:
    return nodes.Output([nodes.TemplateData(mark(number), lineno=line)], lineno=line)


def names_read(environment: Environment, source: str) -> frozenset[str]:
    """Message fields that a template reads, and other strings in it."""
    tree = environment.parse(source)
    names = {node.attr for node in tree.find_all(nodes.Getattr)}
    return frozenset(names | {node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)})
