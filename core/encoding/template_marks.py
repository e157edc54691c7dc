"""A chat template that marks its output: where each turn of its loop begins, and where the texts given to it stand.

A mark is a run of noncharacters (U+FDD0 to U+FDDB), which no text holds. Marks between turns are written by the
template itself, between its own statements, so no test or filter of the template ever sees them. Marks around a text
go through the template with the text; that they changed nothing else is checked by whoever asks.
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
"""Marks that a template writes: a turn of an outermost loop begins, such a loop ends, and the same of loops within."""


def mark(number: int) -> str:
    """The mark of a number."""
    return _OPEN + "".join(chr(_ZERO + int(digit)) for digit in str(number)) + _CLOSE


@dataclass(frozen=True, slots=True)
class Marked:
    """A text without its marks, and the marks in order: number and position in the text."""

    text: str
    marks: tuple[tuple[int, int], ...]


def read_marks(output: str) -> Marked:
    """Take the marks out of a template's output."""
    pieces, marks, length, at = [], [], 0, 0
    for found in _MARK.finditer(output):
        pieces.append(output[at : found.start()])
        length += found.start() - at
        marks.append((int("".join(str(ord(digit) - _ZERO) for digit in found[1])), length))
        at = found.end()
    pieces.append(output[at:])
    return Marked("".join(pieces), tuple(marks))


def marking_template(environment: Environment, source: str, variables: dict[str, Any]) -> Template:
    """The template of a source text, marking its loops. Raises `jinja2.TemplateSyntaxError`."""
    tree = environment.parse(source)
    tree.body = list(_with_marks(tree.body, TURN))
    tree.set_environment(environment)
    code: Any = environment.compile(tree)
    return environment.template_class.from_code(environment, code, environment.make_globals(variables))


def _with_marks(body: list[nodes.Node], kind: int) -> Iterator[nodes.Node]:
    """Statements, with marks in and after the loops that write to the output: macros and captured blocks give their
    text to the template, which may look at it."""
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
    """Fields that a template reads of its messages, and other texts that stand in it."""
    tree = environment.parse(source)
    names = {node.attr for node in tree.find_all(nodes.Getattr)}
    return frozenset(names | {node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)})
