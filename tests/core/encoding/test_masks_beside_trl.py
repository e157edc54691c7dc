"""Our masks beside those of TRL, which marks what is generated in training templates of its own.

Each difference has a line in `trl_differences.txt` that says why, and each line there has a difference: the family, the
kinds of conversation (* where they are many), what TRL does with which text, and the reason."""

import json
import re
from collections import defaultdict
from difflib import SequenceMatcher
from itertools import groupby
from pathlib import Path

import pytest

from core.data.examples import Example
from core.encoding.encode import encode_and_render
from core.encoding.encoding_spec import EncodingSpec
from tests.core.chat_conversations import CONVERSATIONS, QUOTES
from tests.core.chat_families import FAMILIES, TEMPLATES, family_tokenizer, template_text
from tests.core.chat_openai_form import DAY, hold_date, openai_messages
from tests.core.encoding.test_chat_masks import unescaped

Scored = list[tuple[int, bool]]
"""Token ids, each with whether it is scored."""

_MARKED = re.compile(r"{%-?\s*generation\b")
KINDS = [kind for kind in CONVERSATIONS if kind != "reply that is context"]
"""TRL knows no reply that is context."""


def our_tokens(family: str, kind: str) -> Scored | str:
    """Tokens of a conversation as we encode it, or why it is refused."""
    spec = EncodingSpec("chat", 100_000, "tests", day=DAY)
    ((encoded, _),) = encode_and_render([_example(family, kind)], family_tokenizer(family), spec)
    return encoded.reason or list(zip(encoded.input_ids.tolist(), encoded.scored.tolist(), strict=True))


def trl_tokens(family: str, kind: str) -> Scored | str:
    """Tokens of a conversation as TRL's collator gets them with `assistant_only_loss`, or why it is refused."""
    example = _example(family, kind)
    own = template_text(family)
    try:
        encoded = family_tokenizer(family).apply_chat_template(
            openai_messages(example, family),
            tools=json.loads(example.tools) if example.tools else None,
            chat_template=own if _MARKED.search(own) else template_text(f"{family}_training"),
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
    # A template may raise anything.
    except Exception as error:
        return str(error)
    masks = [bool(mask) for mask in encoded["assistant_masks"]]
    return list(zip(encoded["input_ids"], masks, strict=True))


def _example(family: str, kind: str) -> Example:
    quote = next(quote for token, quote in QUOTES.items() if token in FAMILIES[family].specials)
    return CONVERSATIONS[kind](quote)


def differences(family: str, kind: str) -> set[tuple[str, str]]:
    """What TRL does otherwise: "scores" or "leaves" tokens of the same text, "writes" or "lacks" a text, "refuses"."""
    ours, theirs = our_tokens(family, kind), trl_tokens(family, kind)
    if isinstance(ours, str) or isinstance(theirs, str):
        refusals = [text if isinstance(text, str) else "" for text in (ours, theirs)]
        if all(refusals):
            return set()
        return {("refuses", refusals[1])} if refusals[1] else {("does not refuse", refusals[0])}
    found: set[tuple[str, str]] = set()
    decode = family_tokenizer(family).decode
    ids = [[token for token, _ in tokens] for tokens in (ours, theirs)]
    for what, start, end, their_start, their_end in SequenceMatcher(None, *ids, autojunk=False).get_opcodes():
        if what != "equal":
            changed = (("lacks", ids[0][start:end]), ("writes", ids[1][their_start:their_end]))
            found |= {(change, decode(run)) for change, run in changed if run}
            continue
        pairs = zip(ours[start:end], theirs[their_start:their_end], strict=True)
        for (our, their), group in groupby(pairs, key=lambda pair: (pair[0][1], pair[1][1])):
            if our != their:
                found.add(("scores" if their else "leaves", decode([token for (token, _), _ in group])))
    return found


def _explained() -> dict[str, dict[tuple[str, str], str]]:
    families: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    table = Path(__file__).parents[1].joinpath("trl_differences.txt").read_text(encoding="utf-8")
    for line in filter(None, table.split("\n")):
        family, kinds, what, text, why = line.split(" | ")
        assert why.endswith(".")
        families[family][what, unescaped(text)] = kinds
    return families


EXPLAINED = _explained()
MARKED_BY_TRL = [
    family
    for family in FAMILIES
    if _MARKED.search(template_text(family)) or (TEMPLATES / f"{family}_training.jinja").exists()
]


@pytest.mark.parametrize("family", MARKED_BY_TRL)
def test_what_trl_scores_otherwise_is_explained(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hold_date(monkeypatch)
    kinds: dict[tuple[str, str], list[str]] = defaultdict(list)
    for kind in KINDS:
        for difference in differences(family, kind):
            kinds[difference].append(kind)
    explained = EXPLAINED.get(family, {})
    found = {key: "*" if explained.get(key) == "*" else "; ".join(value) for key, value in kinds.items()}
    assert found == explained


def test_trl_scores_all_that_we_score_of_the_texts_that_both_write() -> None:
    assert not [key for explained in EXPLAINED.values() for key in explained if key[0] == "leaves"]
    assert len(MARKED_BY_TRL) >= 8
