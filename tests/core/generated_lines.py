"""Lines of questions and answers, whole and damaged in every way that chance finds; the same seed gives the same."""

import json
import random
from collections.abc import Callable

_TEXTS = (
    "two", "Wie heißt du? 🦉", "", " ", "a\\\"b", "line\nbreak\ttab", "\x00\x1b", "שלום \u202eabc", "\u200b", "=1+1",
    "[" * 70, "{}", "null", "9" * 40, "\ud83d", "\u2028", "<b>", "x" * 900, "\ufeff", "e\u0301", "\U0010ffff",
)  # fmt: skip
_VALUES = (
    "NaN", "Infinity", "-Infinity", "1e999", "-0", "-0.0", "1.50", "1e5", "9" * 40, "-" + "9" * 25, str(2**64),
    "9223372036854775808", "9" * 5000, "0.1e-400", "true", "null", "[]", "{}", '"\\ud83e\\udd89"', '"\\ud83e"',
    '"\\u0000"', "[" * 63 + "]" * 63, "[" * 80 + "]" * 80, "[" * 1100 + "]" * 1100, '{"a":' * 62 + "1" + "}" * 62,
    '[{"a":[1.5,{"b":1e400}]}]', '[1,2.5,"x"]', "01", "1.", "tru", "'a'", "", '"a" "b"', "[1,]", "0x1", "[NaN]",
)  # fmt: skip
_MARKS = (b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\t", b"\r",
          b" ", b"0", b"-", b"\\u", b"\\ud8", b"\xef\xbb\xbf", b"//", b"\x7f", b"'", b"e", b".")  # fmt: skip


def generated_lines(count: int, seed: int) -> list[bytes]:
    """So many lines, none with a line feed in it."""
    chance = random.Random(seed)
    return [_line(chance).replace(b"\n", b" ") for _ in range(count)]


def _line(chance: random.Random) -> bytes:
    line = _record(chance)
    for _ in range(chance.choice((0, 0, 1, 1, 1, 2, 3))):
        line = chance.choice(_DAMAGES)(line, chance)
    return line


def _record(chance: random.Random) -> bytes:
    """An object with a question and an answer, mostly; keys repeat and differ by case now and then."""
    names = ["question", "answer", *chance.choices(("context", "system", "x", "Answer", "answer", "id"), k=2)]
    chance.shuffle(names)
    fields = []
    for name in names[: chance.choice((1, 3, 4, 4, 4, 4))]:
        known = name in ("question", "answer")
        text = chance.choice(("plain", "a", "4")) if chance.random() < 0.7 else chance.choice(_TEXTS)
        value = json.dumps(text, ensure_ascii=chance.random() < 0.5 or "\ud83d" in text)
        if chance.random() < (0.05 if known else 0.4):
            value = chance.choice(_VALUES)
        fields.append(f"{json.dumps(name)}:{value}")
    return ("{" + chance.choice((",", ", ")).join(fields) + "}").encode()


def _cut(line: bytes, chance: random.Random) -> bytes:
    return line[: chance.randrange(len(line) + 1)]


def _flip(line: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(line) or 1)
    return line[:place] + bytes([chance.randrange(256)]) + line[place + 1 :]


def _insert(line: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(line) + 1)
    return line[:place] + chance.choice(_MARKS) + line[place:]


def _remove(line: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(line) + 1)
    return line[:start] + line[start + chance.randrange(1, 9) :]


def _repeat(line: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(line) + 1)
    end = start + chance.randrange(1, 20)
    return line[:end] + line[start:]


def _wrap(line: bytes, chance: random.Random) -> bytes:
    before, after = chance.choice(
        ((b"[", b"]"), (b" ", b"\t"), (b"", b"\r"), (b"", line), (b"\xef\xbb\xbf", b""), (b"1", b""))
    )
    return before + line + after


def _encode(line: bytes, chance: random.Random) -> bytes:
    return line.decode("utf-8", "replace").encode(chance.choice(("utf-16-le", "latin-1", "utf-8-sig")), "replace")


_DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _cut, _flip, _insert, _insert, _remove, _repeat, _wrap, _encode,
)  # fmt: skip
