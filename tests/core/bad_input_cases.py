"""Bad and odd input, as tables: what stands in a file, and what must become of each record of it.

`LINES`: one line of a JSONL file of questions and answers; it becomes a row with the answer `Kept` names, or is
rejected with the reason, or is passed over (`BLANK`). `FILES`: whole files of every kind; the lines of their rows, the
lines and reasons of what is rejected, or the sentence with which the file is refused.
"""

import codecs
import gzip
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard


@dataclass(frozen=True, slots=True)
class Kept:
    """A row with this answer."""

    answer: str


BLANK = "passed over"
GOOD = b'{"question":"2 + 2?","answer":"4"}'
LONGEST_LINE = 20_000
"""What the tests set max_line_bytes to [bytes]."""
MOST_UNPACKED = 2_000_000
"""What the tests set max_unpacked_bytes to [bytes]."""


def _answer(value: str | bytes) -> bytes:
    return b'{"question":"q","answer":' + (value.encode() if isinstance(value, str) else value) + b"}"


def _text(inside: str | bytes) -> bytes:
    inside = inside.encode() if isinstance(inside, str) else inside
    return _answer(b'"' + inside + b'"')


def _with(field: str | bytes) -> bytes:
    """A good record with one more field, which nothing reads."""
    return b'{"question":"q","answer":"a",' + (field.encode() if isinstance(field, str) else field) + b"}"


def _nested(opening: str, closing: str, levels: int) -> bytes:
    return _with('"x":' + opening * levels + "1" + closing * levels)


_BAD_JSON: tuple[tuple[str, bytes], ...] = (
    ("an opening brace", b"{"),
    ("a closing brace", b"}"),
    ("an opening bracket", b"["),
    ("a closing bracket", b"]"),
    ("a lone quote", b'"'),
    ("a lone backslash", b"\\"),
    ("a comma", b","),
    ("a colon", b":"),
    ("cut off in a key", b'{"quest'),
    ("cut off after a key", b'{"question"'),
    ("cut off after a colon", b'{"question":'),
    ("cut off in a text", b'{"question":"a'),
    ("cut off after a text", b'{"question":"a"'),
    ("cut off after a comma", b'{"question":"a",'),
    ("cut off before the brace", b'{"question":"a","answer":"b"'),
    ("cut off in an escape", b'{"question":"a","answer":"b\\'),
    ("cut off in a list", _with('"x":[1,2')[:-1]),
    ("cut off in a number", b'{"question":"a","answer":-'),
    ("cut off in a word", b'{"question":"a","answer":tru'),
    ("a brace too many", GOOD + b"}"),
    ("a comma after the record", GOOD + b","),
    ("a semicolon after the record", GOOD + b";"),
    ("text after the record", GOOD + b" and more"),
    ("text before the record", b"data: " + GOOD),
    ("a number before the record", b"1 " + GOOD),
    ("two records in a line", GOOD + GOOD),
    ("two records with a space", GOOD + b" " + GOOD),
    ("two records with a tab", GOOD + b"\t" + GOOD),
    ("two records with a lone CR", GOOD + b"\r" + GOOD),
    ("two records with a NUL", GOOD + b"\0" + GOOD),
    ("a NUL after the record", GOOD + b"\0"),
    ("a form feed after the record", GOOD + b"\f"),
    ("a vertical tab before the record", b"\v" + GOOD),
    ("a no-break space before the record", "\u00a0".encode() + GOOD),
    ("a line separator after the record", GOOD + "\u2028".encode()),
    ("a byte order mark in mid-file", codecs.BOM_UTF8 + GOOD),
    ("a zero-width space before the record", "\u200b".encode() + GOOD),
    ("only a NUL", b"\0"),
    ("only a no-break space", "\u00a0".encode()),
    ("a trailing comma", b'{"question":"q","answer":"a",}'),
    ("a leading comma", b'{,"question":"q","answer":"a"}'),
    ("two commas", b'{"question":"q",,"answer":"a"}'),
    ("no comma", b'{"question":"q" "answer":"a"}'),
    ("no colon", b'{"question" "q","answer":"a"}'),
    ("two colons", b'{"question"::"q","answer":"a"}'),
    ("equals for a colon", b'{"question"="q","answer":"a"}'),
    ("an arrow for a colon", b'{"question"=>"q","answer":"a"}'),
    ("semicolon for comma", b'{"question":"q";"answer":"a"}'),
    ("single quotes", b"{'question':'q','answer':'a'}"),
    ("curly quotes", "{“question”:“q”,“answer”:“a”}".encode()),
    ("backticks", b"{`question`:`q`,`answer`:`a`}"),
    ("keys without quotes", b'{question:"q",answer:"a"}'),
    ("a number for a key", b'{1:"q","question":"q","answer":"a"}'),
    ("null for a key", b'{null:1,"question":"q","answer":"a"}'),
    ("a list for a key", b'{["a"]:1,"question":"q","answer":"a"}'),
    ("Python's None", _answer("None")),
    ("Python's True", _answer("True")),
    ("JavaScript's undefined", _answer("undefined")),
    ("nan in small letters", _answer("nan")),
    ("inf", _answer("inf")),
    ("infinity with a plus", _answer("+Infinity")),
    ("NULL in capitals", _answer("NULL")),
    ("a word without quotes", _answer("yes")),
    ("a comment after", GOOD + b" // good"),
    ("a comment inside", b'{"question":"q",/* why */"answer":"a"}'),
    ("a hash comment", b"# " + GOOD),
    ("hexadecimal", _answer("0x10")),
    ("octal", _answer("010")),
    ("a plus before a number", _answer("+1")),
    ("a dot before a number", _answer(".5")),
    ("a dot after a number", _answer("5.")),
    ("only a minus", _answer("-")),
    ("two minuses", _answer("--1")),
    ("an exponent without digits", _answer("1e")),
    ("an exponent with a sign only", _answer("1e+")),
    ("underscores in a number", _answer("1_000")),
    ("commas in a number", _answer("1,000")),
    ("Arabic digits", _answer("١٢")),
    ("more digits than can be read", _answer("9" * 5_000)),
    ("an unfinished list", _with('"x":[')),
    ("a list closed by a brace", _with('"x":[1}')),
    ("an object closed by a bracket", _with('"x":{"y":1]')),
    ("a trailing comma in a list", _with('"x":[1,]')),
    ("an escape of x", _text(r"\x41")),
    ("an escape of a", _text(r"\a")),
    ("an escape of a single quote", _text(r"\'")),
    ("an escape of zero", _text(r"\0")),
    ("an escape of capital U", _text(r"\U0001F600")),
    ("an escape with braces", _text(r"\u{1F600}")),
    ("an escape of two digits", _text(r"\u12")),
    ("an escape that is not hexadecimal", _text(r"\u12G4")),
    ("an escape with a sign", _text(r"\u+123")),
    ("a quote inside a text", _text('say "hi"')),
    ("HTML", b"<html><body>429 Too Many Requests</body></html>"),
    ("XML", b'<?xml version="1.0"?><r/>'),
    ("YAML", b"question: q"),
    ("CSV", b"q,a"),
    ("a log line", b"2024-05-17 12:30:00 INFO done"),
    ("a Python dict", b"{'question': 'q', 'answer': None}"),
    ("a merge conflict", b"<<<<<<< HEAD"),
    ("base64", b"eyJxdWVzdGlvbiI6InEifQ=="),
    ("a lone word", b"question"),
)

_CONTROLS = tuple(
    (f"control character 0x{code:02x} as it is", _text(b"a" + bytes([code]) + b"b"))
    for code in range(0x20)
    if code != 0x0A
)

_NO_TEXT = (
    ("byte 0xff", b"\xff"),
    ("byte 0xfe", b"\xfe"),
    ("Latin-1", b"caf\xe9"),
    ("Windows-1252 quotes", b"\x93hi\x94"),
    ("Shift JIS", b"\x93\xfa\x96{"),
    ("a lone continuation byte", b"\x80"),
    ("a pair cut short", b"\xc3"),
    ("a triple cut short", b"\xe2\x82"),
    ("a quadruple cut short", b"\xf0\x9f\xa6"),
    ("an overlong NUL", b"\xc0\x80"),
    ("an overlong slash", b"\xe0\x80\xaf"),
    ("an overlong quadruple", b"\xf0\x80\x80\x80"),
    ("an encoded high surrogate", b"\xed\xa0\x80"),
    ("an encoded low surrogate", b"\xed\xbf\xbf"),
    ("CESU-8", b"\xed\xa0\xbe\xed\xb6\x89"),
    ("beyond Unicode", b"\xf4\x90\x80\x80"),
    ("byte 0xf5", b"\xf5\x80\x80\x80"),
)

_NOT_UTF8: tuple[tuple[str, bytes], ...] = (
    *((name, _text(b"a" + found + b"b")) for name, found in _NO_TEXT),
    ("byte 0xff in a key", _with(b'"\xff":1')),
    ("byte 0xff outside a text", b"\xff" + GOOD),
    ("a line of UTF-16", '{"question":"ü","answer":"ÿ"}'.encode("utf-16-le")[:-1]),
    ("a line of gzip", gzip.compress(GOOD, mtime=0).replace(b"\n", b" ")),
)

_SURROGATES: tuple[tuple[str, bytes], ...] = (
    ("a high surrogate", _text(r"\ud83d")),
    ("a low surrogate", _text(r"\udd89")),
    ("the first surrogate", _text(r"\ud800")),
    ("the last surrogate", _text(r"\udfff")),
    ("capital digits", _text(r"\uDBFF")),
    ("a pair the wrong way round", _text(r"\udd89\ud83e")),
    ("two high ones", _text(r"\ud83e\ud83e")),
    ("a pair and one more", _text(r"\ud83e\udd89\ud83e")),
    ("a pair with a letter between", _text(r"\ud83ex\udd89")),
    ("half of a pair at the end of the question", rb'{"question":"q\ud83e","answer":"a"}'),
    ("half of a pair in a field that nothing reads", _with(r'"x":"\ud83e"')),
    ("half of a pair in a list", _with(r'"x":["\udd89"]')),
    ("half of a pair in a key", _with(r'"\ud83e":1')),
    ("half of a pair in a nested key", _with(r'"x":{"\ud83e":1}')),
)

_NO_NUMBERS: tuple[tuple[str, bytes], ...] = (
    ("NaN", _answer("NaN")),
    ("Infinity", _answer("Infinity")),
    ("-Infinity", _answer("-Infinity")),
    ("1e999", _answer("1e999")),
    ("-1e999", _answer("-1e999")),
    ("1e309", _answer("1e309")),
    ("1.8e308", _answer("1.8e308")),
    ("400 digits and a fraction", _answer("9" * 400 + ".5")),
    ("NaN in a field that nothing reads", _with('"x":NaN')),
    ("Infinity in a list", _with('"x":[1,Infinity]')),
    ("-Infinity in an object", _with('"x":{"y":-Infinity}')),
    ("1e999 deep inside", _with('"x":[[{"y":[1e999]}]]')),
    ("NaN before what is no JSON", b'{"question":NaN,oops'),
)

_DEEP: tuple[tuple[str, bytes], ...] = (
    ("64 lists in the record", _nested("[", "]", 64)),
    ("64 objects in the record", _nested('{"a":', "}", 64)),
    ("lists and objects in turn", _nested('[{"a":', "}]", 32)),
    ("65 lists", _nested("[", "]", 65)),
    ("100 lists", _nested("[", "]", 100)),
    ("1,000 lists", _nested("[", "]", 1_000)),
    ("1,000 objects", _nested('{"a":', "}", 1_000)),
    ("1,024 lists", _nested("[", "]", 1_024)),
    ("9,000 lists", _nested("[", "]", 9_000)),
    ("3,000 objects", _nested('{"a":', "}", 3_000)),
    ("9,000 lists around the record", b"[" * 9_000 + GOOD + b"]" * 9_000),
    ("15,000 lists that never close", b"[" * 15_000),
    ("3,000 objects that never close", b'{"a":' * 3_000),
)

_NO_OBJECT: tuple[tuple[str, bytes], ...] = (
    ("an empty list", b"[]"),
    ("a list", b"[1, 2]"),
    ("a list of the record", b"[" + GOOD + b"]"),
    ("a text", b'"question"'),
    ("an empty text", b'""'),
    ("a whole number", b"7"),
    ("a fraction", b"-1.5e3"),
    ("a huge number", b"9" * 400),
    ("null", b"null"),
    ("true", b"true"),
    ("false", b"false"),
)

_MISSING: tuple[tuple[str, bytes], ...] = (
    ("no field", b"{}"),
    ("only a question", b'{"question":"q"}'),
    ("only an answer", b'{"answer":"a"}'),
    ("keys in capitals", b'{"QUESTION":"q","ANSWER":"a"}'),
    ("a key with a capital", b'{"Question":"q","answer":"a"}'),
    ("a key with a space", b'{"question ":"q","answer":"a"}'),
    ("a key with a tab", b'{"question":"q","answer\\t":"a"}'),
    ("a key with a zero-width space", '{"question\u200b":"q","answer":"a"}'.encode()),
    ("a key with a byte order mark", '{"\ufeffquestion":"q","answer":"a"}'.encode()),
    ("a key in Cyrillic letters", '{"questiоn":"q","answer":"a"}'.encode()),
    ("a key in full-width letters", '{"question":"q","ａｎｓｗｅｒ":"a"}'.encode()),
    ("a key with a NUL", b'{"question":"q","answer\\u0000":"a"}'),
    ("an empty key", b'{"":"q","answer":"a"}'),
    ("fields one level down", b'{"data":{"question":"q","answer":"a"}}'),
    ("another schema: alpaca", b'{"instruction":"q","output":"a"}'),
    ("another schema: messages", b'{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}'),
    ("another schema: text", b'{"text":"q a"}'),
    ("an error message", b'{"error":{"code":429}}'),
)

_NO_TEXTS = ("true", "false", "[]", "{}", '["a",1]', '{"score":1}', "[1]")

_WRONG_TYPE: tuple[tuple[str, bytes], ...] = (
    *((f"{value} for an answer", _answer(value)) for value in _NO_TEXTS),
    ("true for a question", b'{"question":true,"answer":"a"}'),
    ("a list for a question", b'{"question":["q"],"answer":"a"}'),
    ("a list for a context", b'{"question":"q","answer":"a","context":["c"]}'),
    ("an object for a system prompt", b'{"question":"q","answer":"a","system":{}}'),
)

_EMPTY_ANSWER: tuple[tuple[str, bytes], ...] = (
    ("an empty answer", _text("")),
    ("null for an answer", _answer("null")),
    ("spaces for an answer", _text("   ")),
    ("line breaks for an answer", _text(r"\n\r\n\t")),
    ("a no-break space for an answer", _text("\u00a0")),
    ("an ideographic space for an answer", _text("\u3000")),
    ("a line separator for an answer", _text("\u2028\u2029")),
    ("a unit separator for an answer", _text(r"\u001f")),
    ("the last of two answers is empty", b'{"question":"q","answer":"a","answer":""}'),
    ("neither question nor answer", b'{"question":"","answer":""}'),
)

_EMPTY_QUESTION: tuple[tuple[str, bytes], ...] = (
    ("an empty question", b'{"question":"","answer":"a"}'),
    ("null for a question", b'{"question":null,"answer":"a"}'),
    ("spaces for a question", b'{"question":" \\n ","answer":"a"}'),
    ("only blank context", b'{"question":"","answer":"a","context":" "}'),
)

_TOO_LONG: tuple[tuple[str, bytes], ...] = (
    ("one byte more than allowed", _text("x" * (LONGEST_LINE - len(_text("")) + 1))),
    ("ten times what is allowed", _text("x" * 10 * LONGEST_LINE)),
    ("a long line of spaces", b" " * (3 * LONGEST_LINE)),
    ("a long line that is no JSON", b"x" * (LONGEST_LINE + 2)),
    ("a long line of brackets", b"[" * 5 * LONGEST_LINE),
    ("a long line that is not UTF-8", b"\xff" * 2 * LONGEST_LINE),
)

_ODD_TEXTS = {
    "an owl": "🦉",
    "a family joined by zero width": "👨\u200d👩\u200d👧",
    "a flag": "🇩🇪",
    "Arabic": "مرحبا بالعالم",
    "Hebrew": "שלום",
    "a right-to-left override": "abc\u202edcba\u202c",
    "isolates that never close": "\u2066\u2067\u2068abc",
    "a zero-width space alone": "\u200b",
    "zero-width joiners alone": "\u200d\u200c\u2060",
    "a byte order mark alone": "\ufeff",
    "a soft hyphen": "co\u00adop",
    "many combining marks": "a" + "\u0301" * 300,
    "noncharacters": "\ufffe\uffff\U0010ffff",
    "private use": "\ue000\U000f0000",
    "a replacement character": "caf\ufffd",
    "delete": "a\x7fb",
    "C1 controls": "a\x80\x85\x9fb",
    "a line separator inside": "a\u2028b\u2029c",
    "composed and decomposed": "é e\u0301",
    "tag characters": "a\U000e0001\U000e0061",
    "a formula": "=1+1",
    "a formula with a command": "=cmd|' /C calc'!A0",
    "a plus": "+1",
    "an at sign": "@SUM(A1)",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "an HTML entity": "&lt;b&gt;",
    "SQL": "'); DROP TABLE example; --",
    "a template": "{{ 7 * 7 }} ${7*7} {% raw %}",
    "a format string": "%s%n {0} {x!r}",
    "a path": "../../etc/passwd",
    "JSON in text": "[1, {}]",
    "the word NaN": "NaN",
    "the word null": "null",
    "digits": "123456789012345678901234567890",
    "a chat template's mark": "<|im_end|>\n<|im_start|>user",
    "brackets a hundredfold": "[" * 100 + "{" * 100,
    "only a comma": ",",
    "only a full stop": ".",
    "spaces around": "  a  ",
    "the longest that fits": "x" * (LONGEST_LINE - len(_text(""))),
}

_ODD_JSON: tuple[tuple[str, bytes, str], ...] = (
    ("an escaped NUL", _text(r"a\u0000b"), "a\0b"),
    ("escaped controls", _text(r"\u0001\b\f\u001b[31m"), "\x01\b\f\x1b[31m"),
    ("escaped line ends", _text(r"a\r\nb\rc\n"), "a\r\nb\rc\n"),
    ("an escaped pair", _text(r"\ud83e\udd89"), "🦉"),
    ("an escaped pair in capitals", _text(r"\uD83E\uDD89"), "🦉"),
    ("a backslash before what looks like a surrogate", _text(r"\\ud83e"), r"\ud83e"),
    ("an escaped slash", _text(r"a\/b"), "a/b"),
    ("an escaped letter", _text(r"\u0061"), "a"),
    ("an escaped byte order mark", _text(r"\ufeffa"), "\ufeffa"),
    ("a whole number", _answer("4"), "4"),
    ("a fraction", _answer("4.50"), "4.5"),
    ("an exponent", _answer("1e5"), "100000.0"),
    ("minus zero", _answer("-0"), "0"),
    ("minus zero as a fraction", _answer("-0.0"), "-0.0"),
    ("2**53 + 1", _answer(str(2**53 + 1)), str(2**53 + 1)),
    ("2**63", _answer(str(2**63)), str(2**63)),
    ("2**64", _answer(str(2**64)), str(2**64)),
    ("-2**63 - 1", _answer(str(-(2**63) - 1)), str(-(2**63) - 1)),
    ("2**70", _answer(str(2**70)), str(2**70)),
    ("4,000 digits", _answer("9" * 4_000), "9" * 4_000),
    ("a number too small", _answer("1e-999"), "0.0"),
    ("a huge number that nothing reads", _with('"id":' + "9" * 400), "a"),
    ("a fraction that nothing reads", _with('"score":0.25'), "a"),
    ("a list of one text", _answer('["a"]'), "a"),
    ("a list of two texts", _answer('["a","b"]'), "a"),
    ("an object with a text", _answer('{"text":"a"}'), "a"),
    ("the last of two answers", b'{"question":"q","answer":"first","answer":"second"}', "second"),
    ("the last of two answers of other types", b'{"question":"q","answer":[1],"answer":"second"}', "second"),
    ("a field twice that nothing reads", _with('"x":1,"x":{"y":2}'), "a"),
    ("a key written with an escape", rb'{"question":"q","answer":"first","\u0061nswer":"second"}', "second"),
    ("keys that differ by case", b'{"Question":"Q","question":"q","ANSWER":"A","answer":"a"}', "a"),
    ("an empty key", _with('"":1'), "a"),
    ("a key of SQL", _with('"x\'); DROP TABLE example; --":1'), "a"),
    ("a key named __proto__", _with('"__proto__":{"answer":"b"}'), "a"),
    ("a key of 10,000 characters", _with('"' + "k" * 10_000 + '":1'), "a"),
    ("1,000 fields", _with(",".join(f'"k{i}":{i}' for i in range(1_000))), "a"),
    ("63 lists in the record", _nested("[", "]", 63), "a"),
    ("63 objects in the record", _nested('{"a":', "}", 63), "a"),
    ("a thousand lists side by side", _with('"x":[' + "[]," * 999 + "[]]"), "a"),
    ("spaces all over", b' { "question" : "q" ,\t"answer" : "a" } ', "a"),
    ("CRLF", _text("a") + b"\r", "a"),
    ("two CRs and LF", _text("a") + b"\r\r", "a"),
    ("a context of null", b'{"question":"q","answer":"a","context":null}', "a"),
    ("only a context", b'{"question":"","answer":"a","context":"c"}', "a"),
    ("a number for a question", b'{"question":7,"answer":"a"}', "a"),
    ("a preference pair's halves", _with('"chosen":null,"rejected":"b"'), "a"),
)

_BLANKS = (
    ("nothing", b""),
    ("a space", b" "),
    ("a tab", b"\t"),
    ("a CR", b"\r"),
    ("a form feed", b"\f"),
    ("a vertical tab", b"\v"),
    ("white space of all kinds", b" \t\r\v\f"),
)

LINES: tuple[tuple[str, bytes, Kept | str], ...] = (
    *((f"bad JSON: {name}", line, "bad JSON") for name, line in (*_BAD_JSON, *_CONTROLS)),
    *((f"not UTF-8: {name}", line, "not UTF-8") for name, line in _NOT_UTF8),
    *((f"lone surrogate: {name}", line, "lone surrogate") for name, line in _SURROGATES),
    *((f"no number: {name}", line, "NaN or infinity") for name, line in _NO_NUMBERS),
    *((f"deep: {name}", line, "nested too deep") for name, line in _DEEP),
    *((f"no object: {name}", line, "not an object") for name, line in _NO_OBJECT),
    *((f"missing: {name}", line, "missing field") for name, line in _MISSING),
    *((f"wrong type: {name}", line, "wrong type") for name, line in _WRONG_TYPE),
    *((f"empty: {name}", line, "empty response") for name, line in _EMPTY_ANSWER),
    *((f"empty: {name}", line, "empty prompt") for name, line in _EMPTY_QUESTION),
    *((f"long: {name}", line, "line too long") for name, line in _TOO_LONG),
    ("a preference pair", _with('"chosen":"a","rejected":"b"'), "preference pair"),
    *(
        (f"text: {name}", _text(json.dumps(text, ensure_ascii=False)[1:-1]), Kept(text))
        for name, text in _ODD_TEXTS.items()
    ),
    *((f"odd: {name}", line, Kept(answer)) for name, line, answer in _ODD_JSON),
    *((f"blank: {name}", line, BLANK) for name, line in _BLANKS),
)


@dataclass(frozen=True, slots=True)
class File:
    """A file and what becomes of it: lines of its rows, (line, reason) of what is rejected; or the sentence."""

    about: str
    name: str
    content: bytes | Callable[[], bytes]
    rows: Sequence[int] = ()
    rejected: Sequence[tuple[int, str]] = ()
    refused: str = ""
    """A pattern of the sentence with which the whole file is refused."""

    def bytes(self) -> bytes:
        """What stands in the file."""
        return self.content if isinstance(self.content, bytes) else self.content()


def _csv(*lines: bytes, end: bytes = b"\n") -> bytes:
    return end.join((b"question,answer", *lines)) + end


def _table(**columns: Any) -> Callable[[], bytes]:
    """A Parquet file of these columns."""

    def make() -> bytes:
        file = io.BytesIO()
        pq.write_table(pa.table(columns), file)
        return file.getvalue()

    return make


def _not_text(values: list[bytes]) -> pa.Array:
    return pa.array(values, pa.binary()).view(pa.string())


def _nested_objects(levels: int) -> pa.Array:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return pa.array([value])


def _bomb(pack: Callable[[bytes], bytes], unit: bytes) -> Callable[[], bytes]:
    return lambda: pack(unit * (4 * MOST_UNPACKED // len(unit)))


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


_LINES_3 = b"\n".join([GOOD, GOOD, GOOD])
_MANY = b"\n".join(b'{"question":"%d","answer":"%d"}' % (i, i) for i in range(3_000))
_UNRECORDED = "has no records"
_CUT = "is damaged or truncated"
_TOO_MUCH = "unpacks to more than 2,000,000 bytes"

_JSONL_FILES = (
    File("nothing", "a.jsonl", b"", refused=_UNRECORDED),
    File("only a byte order mark", "a.jsonl", codecs.BOM_UTF8, refused=_UNRECORDED),
    File("only blank lines", "a.jsonl", b"\n\n \n\r\n", refused=_UNRECORDED),
    File("only what is no JSON", "a.jsonl", b"oops\nagain\n", refused="2 of 2 were rejected as 'bad JSON'"),
    File("only one word", "a.jsonl", b"oops", refused="1 of 1 were rejected as 'bad JSON'"),
    File("a byte order mark first", "a.jsonl", codecs.BOM_UTF8 + _LINES_3, rows=(1, 2, 3)),
    File("two byte order marks first", "a.jsonl", codecs.BOM_UTF8 * 2 + _LINES_3, (2, 3), [(1, "bad JSON")]),
    File("no line end at the end", "a.jsonl", GOOD, rows=(1,)),
    File("CRLF", "a.jsonl", _LINES_3.replace(b"\n", b"\r\n") + b"\r\n", rows=(1, 2, 3)),
    File("CR alone", "a.jsonl", _LINES_3.replace(b"\n", b"\r"), refused="1 of 1 were rejected as 'bad JSON'"),
    File("LF CR", "a.jsonl", _LINES_3.replace(b"\n", b"\n\r"), rows=(1, 2, 3)),
    File("blank lines between", "a.jsonl", GOOD + b"\n\n\n" + GOOD + b"\n \n" + GOOD, rows=(1, 4, 6)),
    File("the last line cut off", "a.jsonl", _LINES_3 + b"\n" + GOOD[:20], (1, 2, 3), [(4, "bad JSON")]),
    File("a zero-filled end", "a.jsonl", _LINES_3 + b"\n" + b"\0" * 4096, (1, 2, 3), [(4, "bad JSON")]),
    File("the first line is bad", "a.jsonl", b"oops\n" + _LINES_3, (2, 3, 4), [(1, "bad JSON")]),
    File("a heading before the records", "a.jsonl", b"[\n" + _LINES_3, (1, 2, 3), [(4, "bad JSON")]),
    File(
        "schemas in turn",
        "a.jsonl",
        b'{"instruction":"q","output":"a"}\n' + _LINES_3 + b'\n{"prompt":"q","completion":"a"}',
        (2, 3, 4),
        [(1, "missing field"), (5, "missing field")],
    ),
    File(
        "a field that changes its type",
        "a.jsonl",
        b'{"question":"q","answer":"a"}\n{"question":"q","answer":1}\n{"question":"q","answer":[1]}\n'
        b'{"question":"q","answer":null}',
        (1, 2),
        [(3, "wrong type"), (4, "empty response")],
    ),
    File("UTF-16 with its mark", "a.jsonl", _LINES_3.decode().encode("utf-16"), refused="not UTF-8 text"),
    File("UTF-16, little end first", "a.jsonl", _LINES_3.decode().encode("utf-16-le"), refused="not UTF-8 text"),
    File("UTF-16, big end first", "a.jsonl", _LINES_3.decode().encode("utf-16-be"), refused="not UTF-8 text"),
    File("UTF-32", "a.jsonl", _LINES_3.decode().encode("utf-32"), refused="not UTF-8 text"),
    File("UTF-7's mark", "a.jsonl", b"+/v8" + _LINES_3, (2, 3), [(1, "bad JSON")]),
    File("Latin-1 in one line", "a.jsonl", GOOD + b'\n{"question":"caf\xe9","answer":"a"}', (1,), [(2, "not UTF-8")]),
    File("a program", "a.jsonl", b"\x7fELF\x02\x01\x01\0\0\0\0", refused="1 of 1 were rejected as 'bad JSON'"),
    File("a picture", "a.jsonl", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", refused="2 of 3 were rejected as 'bad JSON'"),
    File("a Git LFS pointer", "a.jsonl", b"version https://git-lfs.github.com/spec/v1\n", refused="git lfs pull"),
    File("a zip archive", "a.jsonl", b"PK\x03\x04\x14\0\0\0", refused="1 of 1 were rejected as 'bad JSON'"),
    File("text of no kind", "notes.md", b"# Notes\n", refused="not JSON, JSONL, CSV, Parquet or Arrow"),
    File("3,000 rows of one token", "a.jsonl", b'{"question":"q","answer":"a"}\n' * 3_000, rows=range(1, 3_001)),
    File(
        "preference pairs of equal sides",
        "a.jsonl",
        b'{"prompt":"q","chosen":"a","rejected":"a"}\n' * 3,
        refused="'equal sides'.*are the same",
    ),
)

_MARKED_FILES = (
    File(
        "texts, one without markup",
        "a.jsonl",
        b'{"text":"Human: q\\n\\nAssistant: a"}\n{"text":"q a"}\n{"text":"### Human: q### Assistant: a"}',
        (1, 3),
        [(2, "unknown markup")],
    ),
)

_MESSAGES = b'{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}'


def _turns(*turns: str) -> bytes:
    return b'{"messages":[' + ",".join(turns).encode() + b"]}"


_USER, _SAID = '{"role":"user","content":"q"}', '{"role":"assistant","content":"a"}'
_TURN_CASES: tuple[tuple[str, bytes, str | None], ...] = (
    ("plain turns", _turns(_USER, _SAID), None),
    ("ShareGPT's names in messages", _turns('{"from":"human","value":"q"}', '{"from":"gpt","value":"a"}'), None),
    ("roles in capitals", _turns('{"role":" USER ","content":"q"}', _SAID), None),
    ("a turn with an unknown field", _turns(_USER, '{"role":"assistant","content":"a","weight":0.5}'), None),
    ("typed parts", _turns('{"role":"user","content":[{"type":"text","text":"q"}]}', _SAID), None),
    ("no turn", _turns(), "no assistant turn"),
    ("null for turns", b'{"messages":null}', "no assistant turn"),
    ("only a question", _turns(_USER), "no assistant turn"),
    ("only an answer", _turns(_SAID), "empty prompt"),
    ("an empty answer last", _turns(_USER, _SAID, _USER, '{"role":"assistant","content":""}'), "empty response"),
    ("null for an answer", _turns(_USER, '{"role":"assistant","content":null}'), "empty response"),
    ("text for turns", b'{"messages":"hello"}', "wrong type"),
    ("a number for turns", b'{"messages":7}', "wrong type"),
    ("an object for turns", b'{"messages":{"role":"user"}}', "wrong type"),
    ("a text for a turn", _turns('"q"', _SAID), "wrong type"),
    ("null for a turn", _turns("null", _SAID), "wrong type"),
    ("true for a text", _turns('{"role":"user","content":true}', _SAID), "wrong type"),
    ("a list in a list for a text", _turns('{"role":"user","content":[["q"]]}', _SAID), "wrong type"),
    ("a turn without a role", _turns('{"content":"q"}', _SAID), "missing field"),
    ("an empty turn", _turns("{}", _SAID), "missing field"),
    ("a turn whose text has a name nobody knows", _turns('{"role":"user","phrase":"q"}', _SAID), "missing field"),
    ("no turn to train on", _turns(_USER, '{"role":"assistant","content":"a","weight":0}'), "no scored turn"),
    ("an answer that is not wanted", b'{"label":false,' + _turns(_USER, _SAID)[1:], "unwanted answer"),
    ("an answer that is wanted", b'{"label":true,' + _turns(_USER, _SAID)[1:], None),
    ("a picture beside the turns", b'{"image":"a.png",' + _turns(_USER, _SAID)[1:], "not text"),
    ("an unknown role", _turns('{"role":"narrator","content":"q"}', _SAID), "unknown role"),
    ("a number for a role", _turns('{"role":7,"content":"q"}', _SAID), "unknown role"),
    ("an object for a role", _turns('{"role":{"a":1},"content":"q"}', _SAID), "unknown role"),
    ("a picture", _turns('{"role":"user","content":[{"type":"image_url","image_url":"x"}]}', _SAID), "not text"),
    ("an unknown part", _turns('{"role":"user","content":[{"type":"hologram"}]}', _SAID), "not text"),
    ("half of a pair in a turn", _turns(r'{"role":"user","content":"\ud83e"}', _SAID), "lone surrogate"),
    ("NaN in a turn", _turns('{"role":"user","content":"q","t":NaN}', _SAID), "NaN or infinity"),
)

_TURN_FILES = tuple(
    File(f"turns: {name}", "a.jsonl", _MESSAGES + b"\n" + line + b"\n" + _MESSAGES, (1, 3), [(2, reason)])
    if reason
    else File(f"turns: {name}", "a.jsonl", _MESSAGES + b"\n" + line + b"\n" + _MESSAGES, (1, 2, 3))
    for name, line, reason in _TURN_CASES
)

_JSON_FILES = (
    File("nothing", "a.json", b"", refused=_UNRECORDED),
    File("an empty array", "a.json", b"[]", refused=_UNRECORDED),
    File("an empty object", "a.json", b"{}", refused="'missing field'"),
    File("an array", "a.json", b"[" + GOOD + b"," + GOOD + b"]", rows=(1, 2)),
    File("an array after a byte order mark", "a.json", codecs.BOM_UTF8 + b"[" + GOOD + b"]", rows=(1,)),
    File("an array in UTF-16", "a.json", ("[" + GOOD.decode() + "]").encode("utf-16"), refused="not UTF-8 text"),
    File(
        "an array cut off in a record",
        "a.json",
        b"[" + GOOD + b"," + GOOD[:20],
        (1,),
        [(2, "bad JSON"), (3, "bad JSON")],
    ),
    File("an array cut off after a record", "a.json", b"[" + GOOD + b",", (1,), [(2, "bad JSON")]),
    File("a trailing comma", "a.json", b"[" + GOOD + b",]", rows=(1,)),
    File("records after the array", "a.json", b"[" + GOOD + b"]" + GOOD, (1, 3), [(2, "bad JSON")]),
    File("NaN in one record", "a.json", b"[" + GOOD + b',{"x":NaN},' + GOOD + b"]", (1, 3), [(2, "NaN or infinity")]),
    File(
        "a list among records",
        "a.json",
        b"[" + GOOD + b",[1],7," + GOOD + b"]",
        (1, 4),
        [(2, "not an object"), (3, "not an object")],
    ),
    File("null among records", "a.json", b"[" + GOOD + b",null]", (1,), [(2, "not an object")]),
    File("half of a pair", "a.json", b"[" + _text(r"\ud83e") + b"," + GOOD + b"]", (2,), [(1, "lone surrogate")]),
    File("bytes that are no text", "a.json", b"[" + _text(b"\xff") + b"," + GOOD + b"]", (2,), [(1, "not UTF-8")]),
    File("65 levels", "a.json", b"[" + GOOD + b"," + _nested("[", "]", 65) + b"]", (1,), [(2, "nested too deep")]),
    File(
        "2,000 levels", "a.json", b"[" + _nested("[", "]", 2_000) + b"," + GOOD + b"]", (2,), [(1, "nested too deep")]
    ),
    File(
        "a record too long",
        "a.json",
        b"[" + GOOD + b"," + _text("x" * 3 * LONGEST_LINE) + b"," + GOOD + b"]",
        (1, 3),
        [(2, "line too long")],
    ),
    File("only an opening bracket", "a.json", b"[", refused="'bad JSON'"),
    File("300,000 opening brackets", "a.json", b"[" * 300_000, refused="1 of 2 were rejected as 'nested too deep'"),
    File("an unquoted key", "a.json", b"[\n {a:1},\n " + GOOD + b"\n]", (2,), [(1, "bad JSON")]),
    File("a record over lines", "a.json", GOOD.replace(b",", b",\n"), rows=(1,)),
    File("an array under the wrong name", "a.jsonl", b"[\n" + GOOD + b",\n" + GOOD + b"\n]", rows=(1, 2)),
)

_CSV_FILES = (
    File("nothing", "a.csv", b"", refused=_UNRECORDED),
    File("only a header", "a.csv", b"question,answer\n", refused=_UNRECORDED),
    File("a byte order mark", "a.csv", codecs.BOM_UTF8 + _csv(b"q,a"), rows=(1,)),
    File("UTF-16", "a.csv", _csv(b"q,a").decode().encode("utf-16"), refused="not UTF-8 text"),
    File("CRLF", "a.csv", _csv(b"q,a", b"q,b", end=b"\r\n"), rows=(1, 2)),
    File("CR alone", "a.csv", _csv(b"q,a", end=b"\r"), refused="end with CR only"),
    File("a lone CR in a field", "a.csv", _csv(b"q,one\rtwo", b'"a\rb",c'), rows=(1, 2)),
    File("a lone CR before the comma", "a.csv", _csv(b"q\r,a"), rows=(1,)),
    File("line breaks in quotes", "a.csv", _csv(b'"q\r\nr","a\nb"', b"q,a"), rows=(1, 2)),
    File("formula cells", "a.csv", _csv(b"=1+1,=2", b"+1,-1", b"@SUM(A1),\"=cmd|' /C calc'!A0\""), rows=(1, 2, 3)),
    File("blank lines", "a.csv", _csv(b"q,a", b"", b"q,a"), rows=(1, 2)),
    File("too few fields", "a.csv", _csv(b"q", b"q,a"), (2,), [(1, "wrong number of fields")]),
    File("too many fields", "a.csv", _csv(b"q,a,b", b"q,a"), (2,), [(1, "wrong number of fields")]),
    File("a quote that never closes", "a.csv", _csv(b'"q,a', b"q,a", b"q,a"), (2, 3), [(1, "bad CSV")]),
    File("text after a quote", "a.csv", _csv(b'"q"r,a', b"q,a"), (2,), [(1, "bad CSV")]),
    File("a quote inside a field", "a.csv", _csv(b'5" pipe,a'), rows=(1,)),
    File("doubled quotes", "a.csv", _csv(b'"say ""hi""",a'), rows=(1,)),
    File("quotes with a backslash", "a.csv", _csv(rb'"say \"hi\"",a', b"q,a"), (2,), [(1, "bad CSV")]),
    File("bytes that are no text", "a.csv", _csv(b"caf\xe9,a", b"q,a"), (2,), [(1, "not UTF-8")]),
    File("a NUL in a field", "a.csv", _csv(b"q\0r,a"), rows=(1,)),
    File("control characters", "a.csv", _csv(b"q\x01\x1b[31m,a\x7f"), rows=(1,)),
    File("an empty answer", "a.csv", _csv(b"q,", b"q,a"), (2,), [(1, "empty response")]),
    File("an empty question", "a.csv", _csv(b",a", b"q,a"), (2,), [(1, "empty prompt")]),
    File("a row too long", "a.csv", _csv(b"q," + b"x" * 2 * LONGEST_LINE, b"q,a"), (2,), [(1, "line too long")]),
    File(
        "a row too long over lines",
        "a.csv",
        _csv(b'q,"' + b"x\n" * LONGEST_LINE + b'"', b"q,a")[: LONGEST_LINE // 2],
        refused="4,990 of 4,991 were rejected as 'wrong number of fields'",
    ),
    File("one name twice", "a.csv", b"question,question\nq,a\n", refused="more than one field named 'question'"),
    File("an empty name twice", "a.csv", b"question,answer,,\nq,a,,\n", refused="more than one field named ''"),
    File("no known name", "a.csv", b"x,y\nq,a\n", refused="'missing field'"),
    File("a header in quotes that never close", "a.csv", b'"question,answer\nq,a\n', refused="is not a CSV header"),
    File("semicolons", "a.csv", b"question;answer\nq;a, b\n", rows=(1,)),
    File("tabs", "a.tsv", b"question\tanswer\nq\ta\n", rows=(1,)),
    File("right-to-left text", "a.csv", _csv("שלום,\u202eabc".encode()), rows=(1,)),
    File("huge numbers", "a.csv", _csv(b"q," + b"9" * 5_000, b"1e999,NaN"), rows=(1, 2)),
    File(
        "JSON in a field",
        "a.csv",
        b'messages\n"[{""role"":""user"",""content"":""q""},{""role"":""assistant"",""content"":""a""}]"\n',
        rows=(1,),
    ),
    File("bad JSON in a field", "a.csv", b'messages\n"[{""role"":"\n', refused="1 of 1 were rejected as 'wrong type'"),
    File("Parquet by its name", "a.parquet", _csv(b"q,a"), refused="has the extension of Parquet but other content"),
)

_ONE: dict[str, Any] = {"question": ["q"], "answer": ["a"]}
_QA: dict[str, Any] = {"question": ["q", "r"], "answer": ["a", "b"]}
_PARQUET_FILES = (
    File("two rows", "a.parquet", _table(**_QA), rows=(1, 2)),
    File(
        "no row",
        "a.parquet",
        _table(question=pa.array([], pa.string()), answer=pa.array([], pa.string())),
        refused=_UNRECORDED,
    ),
    File("no column that is known", "a.parquet", _table(x=[1, 2]), refused="'missing field'"),
    File(
        "nulls",
        "a.parquet",
        _table(question=["q", None, "q"], answer=[None, "a", "a"]),
        (3,),
        [(1, "empty response"), (2, "empty prompt")],
    ),
    File("numbers for answers", "a.parquet", _table(question=["q"] * 2, answer=[2**63 - 1, -1]), rows=(1, 2)),
    File(
        "NaN for an answer",
        "a.parquet",
        _table(question=["q", "q"], answer=[float("nan"), 1.5]),
        (2,),
        [(1, "empty response")],
    ),
    File("NaN in a column that nothing reads", "a.parquet", _table(**_QA, x=[float("nan"), float("inf")]), rows=(1, 2)),
    File(
        "text that is not UTF-8",
        "a.parquet",
        _table(question=_not_text([b"q", b"\xff", b"r"]), answer=["a"] * 3),
        (1, 3),
        [(2, "not UTF-8")],
    ),
    File("bytes for text", "a.parquet", _table(question=[b"q", b"\xff"], answer=[b"a", b"b"]), rows=(1, 2)),
    File(
        "lists for answers",
        "a.parquet",
        _table(question=["q", "q"], answer=[[1], []]),
        refused="2 of 2 were rejected as 'wrong type'",
    ),
    File("booleans for answers", "a.parquet", _table(question=["q"], answer=[True]), refused="'wrong type'"),
    File("63 levels in a row", "a.parquet", _table(**_ONE, x=_nested_objects(63)), rows=(1,)),
    File("64 levels in a row", "a.parquet", _table(**_ONE, x=_nested_objects(64)), refused="'nested too deep'"),
    File("200 levels in a row", "a.parquet", _table(**_ONE, x=_nested_objects(200)), refused="nested too deep to read"),
    File(
        "a text too long",
        "a.parquet",
        _table(question=["q", "q"], answer=["x" * 2 * LONGEST_LINE, "a"]),
        (2,),
        [(1, "line too long")],
    ),
    File(
        "a dictionary column",
        "a.parquet",
        _table(question=pa.array(["q", "q"]).dictionary_encode(), answer=["a", "b"]),
        rows=(1, 2),
    ),
    File("large text", "a.parquet", _table(question=pa.array(["q"], pa.large_string()), answer=["a"]), rows=(1,)),
    File("a column of nulls", "a.parquet", _table(**_ONE, x=pa.nulls(1)), rows=(1,)),
    File("only its first bytes", "a.parquet", b"PAR1", refused="not a complete Parquet file"),
    File("both its marks and no more", "a.parquet", b"PAR1\0\0\0\0PAR1", refused="not a complete Parquet file"),
    File("its end cut off", "a.parquet", lambda: _table(**_QA)()[:-20], refused="not a complete Parquet file"),
    File(
        "its middle overwritten",
        "a.parquet",
        lambda: _overwritten(_table(question=["q"] * 9, answer=["abc"] * 9)()),
        refused="not a complete Parquet file",
    ),
    File(
        "a footer of a false length",
        "a.parquet",
        lambda: _table(**_QA)()[:-8] + b"\xff\xff\xff\x7fPAR1",
        refused="not a complete Parquet file",
    ),
    File("under another name", "a.jsonl", _table(**_QA), rows=(1, 2)),
    File("packed", "a.parquet.gz", lambda: _gzip(_table(**_QA)()), rows=(1, 2)),
)


def _overwritten(content: bytes) -> bytes:
    """The column pages are gone, the footer is whole."""
    return content[:4] + b"\xff" * 60 + content[64:]


_PACKED_FILES = (
    File("gzip", "a.jsonl.gz", _gzip(_LINES_3), rows=(1, 2, 3)),
    File("gzip under a plain name", "a.jsonl", _gzip(_LINES_3), rows=(1, 2, 3)),
    File("plain under a packed name", "a.jsonl.gz", _LINES_3, rows=(1, 2, 3)),
    File(
        "gzip twice over",
        "a.jsonl.gz",
        _gzip(_gzip(_LINES_3)),
        refused="is not UTF-8 text",
    ),
    File("two gzip members", "a.jsonl.gz", _gzip(GOOD + b"\n") + _gzip(GOOD), rows=(1, 2)),
    File("an empty gzip", "a.jsonl.gz", _gzip(b""), refused=_UNRECORDED),
    File("gzip cut off at its end", "a.jsonl.gz", _gzip(_MANY)[:-4], refused=_CUT),
    File("gzip cut off in the middle", "a.jsonl.gz", lambda: _gzip(_MANY)[:5_000], refused=_CUT),
    File("gzip cut off in its header", "a.jsonl.gz", _gzip(GOOD)[:6], refused=_CUT),
    File("gzip with a flipped byte", "a.jsonl.gz", lambda: _flipped(_gzip(_MANY)), refused=_CUT),
    File("gzip with a false checksum", "a.jsonl.gz", _gzip(GOOD)[:-8] + b"\0" * 8, refused=_CUT),
    File("gzip with rubbish after it", "a.jsonl.gz", _gzip(GOOD) + b"rubbish", refused=_CUT),
    File("gzip's first bytes only", "a.jsonl.gz", b"\x1f\x8b", refused=_CUT),
    File("a gzip bomb of spaces", "a.jsonl.gz", _bomb(_gzip, b" "), refused=_TOO_MUCH),
    File("a gzip bomb of NULs", "a.jsonl.gz", _bomb(_gzip, b"\0"), refused="is not UTF-8 text"),
    File("a gzip bomb of lines", "a.jsonl.gz", _bomb(_gzip, GOOD + b"\n"), refused=_TOO_MUCH),
    File(
        "a gzip bomb as an array",
        "a.json.gz",
        _bomb(lambda c: _gzip(b"[" + c), b"[" + b"1," * 4_000 + b"1],"),
        refused=_TOO_MUCH,
    ),
    File(
        "a gzip bomb as CSV",
        "a.csv.gz",
        _bomb(lambda c: _gzip(b"question,answer\n" + c), b"q," + b"a" * 9_000 + b"\n"),
        refused=_TOO_MUCH,
    ),
    File("a gzip bomb as Parquet", "a.parquet.gz", _bomb(lambda c: _gzip(b"PAR1" + c), b"\0"), refused=_TOO_MUCH),
    File("Zstandard", "a.jsonl.zst", zstandard.compress(_LINES_3), rows=(1, 2, 3)),
    File(
        "two Zstandard frames", "a.jsonl.zst", zstandard.compress(GOOD + b"\n") + zstandard.compress(GOOD), rows=(1, 2)
    ),
    File("an empty Zstandard frame", "a.jsonl.zst", zstandard.compress(b""), refused=_UNRECORDED),
    File("Zstandard cut off at its end", "a.jsonl.zst", zstandard.compress(_MANY)[:-3], refused=_CUT),
    File("Zstandard cut off in the middle", "a.jsonl.zst", lambda: zstandard.compress(_MANY)[:2_000], refused=_CUT),
    File("Zstandard's first bytes only", "a.jsonl.zst", b"\x28\xb5\x2f\xfd", refused=_CUT),
    File("Zstandard with a false header", "a.jsonl.zst", b"\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff", refused=_CUT),
    File("Zstandard with rubbish after it", "a.jsonl.zst", zstandard.compress(GOOD) + b"rubbish", refused=_CUT),
    File("a Zstandard bomb of spaces", "a.jsonl.zst", _bomb(zstandard.compress, b" "), refused=_TOO_MUCH),
    File("a Zstandard bomb of lines", "a.jsonl.zst", _bomb(zstandard.compress, GOOD + b"\n"), refused=_TOO_MUCH),
    File(
        "a Zstandard bomb as an array",
        "a.json.zst",
        _bomb(lambda c: zstandard.compress(b"[" + c), b"[" + b"1," * 4_000 + b"1],"),
        refused=_TOO_MUCH,
    ),
)


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


FILES = (*_JSONL_FILES, *_MARKED_FILES, *_TURN_FILES, *_JSON_FILES, *_CSV_FILES, *_PARQUET_FILES, *_PACKED_FILES)
