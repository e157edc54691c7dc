"""Multiple-choice rows and the orders of their options: whether a model prefers the order that a benchmark published.

Without a leak, and where the options have no natural order, each of the n! orders is as likely to have the highest
probability. A single model's share says little (models have habits of their own); what is claimed is the difference
between two models on the same rows.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial

from ..data.examples import Example, Message

MOST_OPTIONS = 5
LEVEL = 0.95
_LINE = re.compile(r"[ \t]*\(?([A-Za-z])[.):][ \t]+(\S.*?)[ \t]*")
_REFERS = re.compile(
    r"\b(all|none|neither|both|either|any) (of )?(the |these|those|them|above)|\babove\b|\bbelow\b|"
    r"\b(both|only|neither) \(?[a-e]\b|^\(?[a-e]\)? (and|or|&) \(?[a-e]\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[-+$€£]?\s*\d[\d,.\s]*(/\s*\d+)?")
_USUAL_PAIRS = ({"true", "false"}, {"yes", "no"})


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """A question with its options: `before` and `after` are the text around the lines of options, `marks` what stands
    before each option on its line."""

    before: str
    marks: tuple[str, ...]
    options: tuple[str, ...]
    after: str

    def orders(self) -> Iterator[Example]:
        """The text in every order of its options, the original first: the marks stay where they are. What is scored is
        the options and what follows them."""
        for options in permutations(self.options):
            lines = [mark + option for mark, option in zip(self.marks, options, strict=True)]
            yield Example((Message("user", self.before), Message("assistant", "\n".join(lines) + self.after)))

    @property
    def chance(self) -> float:
        """The probability that the original order is the likeliest if all are alike."""
        return 1 / factorial(len(self.options))

    @property
    def objection(self) -> str | None:
        """Why its options are not exchangeable, or too many; None if they can be tested. The order that they have does
        not matter here: that would bias what is left."""
        texts = [option.lower().rstrip(".") for option in self.options]
        if len(texts) > MOST_OPTIONS:
            return f"more than {MOST_OPTIONS} options"
        if len(set(texts)) < len(texts):
            return "two options are equal"
        if any(_REFERS.search(text) for text in texts):
            return "an option refers to others"
        if set(texts) in _USUAL_PAIRS or all(_NUMBER.match(text) for text in texts):
            return "its options have a natural order"
        return None


def choice_row(example: Example) -> ChoiceRow | None:
    """The multiple-choice question of a conversation's last prompt, if its reply names one of the options."""
    prompts = [message for message in example.turns if message.role in ("user", "context")]
    if not prompts:
        return None
    lines = prompts[-1].content.split("\n")
    found = [_LINE.fullmatch(line) for line in lines]
    block = _last_block(found)
    if block is None:
        return None
    matches = [match for match in found[block] if match]
    labels, options = [match[1] for match in matches], tuple(match[2] for match in matches)
    before = "\n".join(lines[: block.start])
    if not before.strip() or not _names_one(example.response, labels, options):
        return None
    marks = tuple(match[0][: match.start(2) - match.start()] for match in matches)
    after = "".join(f"\n{line}" for line in lines[block.stop :])
    return ChoiceRow(before, marks, options, after)


@dataclass(frozen=True, slots=True)
class OrderPreference:
    """On how many of `rows` the original order is the likeliest, and the 95 % interval of that share (binomial)."""

    rows: int
    preferred: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class OrderDifference:
    """Base and reference on the same rows. `chance`: the share expected of a model without a leak. `only_reference` and
    `only_base`: rows on which the original order is the likeliest under that model alone. `difference`: the
    reference's share minus the base's, and its interval, at least 95 %, from the two binomial ones at 97.5 %."""

    rows: int
    chance: float
    base: OrderPreference
    reference: OrderPreference
    only_base: int
    only_reference: int
    difference: float
    low: float
    high: float


def order_difference(base: Sequence[bool], reference: Sequence[bool], chances: Sequence[float]) -> OrderDifference:
    """Compare whether the original order is the likeliest under both models, row by row; there is at least one row."""
    rows = len(chances)
    only_base = sum(one and not other for one, other in zip(base, reference, strict=True))
    only_reference = sum(other and not one for one, other in zip(base, reference, strict=True))
    less, more = (_binomial(count, rows, (1 + LEVEL) / 2) for count in (only_base, only_reference))
    shares = [OrderPreference(rows, sum(each), *_binomial(sum(each), rows, LEVEL)) for each in (base, reference)]
    return OrderDifference(
        rows, sum(chances) / rows, shares[0], shares[1], only_base, only_reference,
        (only_reference - only_base) / rows, more[0] - less[1], more[1] - less[0],
    )  # fmt: skip


def _binomial(count: int, rows: int, level: float) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share."""
    from scipy.special import betaincinv  # here, because commands and the dashboard should not wait for it

    tail = (1 - level) / 2
    low = float(betaincinv(count, rows - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, rows - count, 1 - tail)) if count < rows else 1.0
    return low, high


def _last_block(found: Sequence[re.Match[str] | None]) -> slice | None:
    """The last lines that are lettered one after another from A or a, two or more."""
    for start in reversed(range(len(found))):
        match = found[start]
        if match and match[1] in "Aa":
            stop = start
            while stop < len(found) and (line := found[stop]) and ord(line[1]) == ord(match[1]) + stop - start:
                stop += 1
            if stop - start > 1:
                return slice(start, stop)
    return None


def _names_one(answer: str, labels: Sequence[str], options: Sequence[str]) -> bool:
    text = answer.strip()
    letter = re.match(r"\(?([A-Za-z])(?:[.):]|\s*$)", text)
    if letter and letter[1].lower() in [label.lower() for label in labels]:
        return True
    return any(text.lower().rstrip(".") == option.lower().rstrip(".") for option in options)
