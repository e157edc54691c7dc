"""Compares two tokenizers: ids written by the base's tokenizer must mean the same to the reference.

Only the parts of tokenizer.json that affect tokenisation are compared; nothing is loaded.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.errors import TokenizerMismatch
from .folder_check import read_json
from .known_hashes import content_hash

_NAMED = 3
"""Number of tokens listed in a sentence."""

_FILLER = re.compile(r"pad|unused|reserved|extra|dummy|placeholder|fill", re.IGNORECASE)
"""Names of tokens that never occur in text."""

_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model")
_OLDER = "of older files"
_NO_RULES = ("dropout", "unk_token", "unk_id", "max_input_chars_per_word")
"""Fields of a tokenizer's model that do not affect how known text is split."""

_RULES = (("normalizer", "normaliser"), ("pre_tokenizer", "pre-tokeniser"))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Remaining differences of two compatible tokenizers: ids of the base's tokens that mean other tokens to the
    reference, and a sentence for each difference that may matter."""

    other_ids: frozenset[int] = frozenset()
    notices: tuple[str, ...] = ()


def compare_tokenizers(base: Path, reference: Path) -> Comparison:
    """Compare the tokenizers in two model folders; a reference without a tokenizer uses the base's.

    Added tokens may differ: more of them in either, renamed reserved ones, their order and flags. Raises
    `TokenizerMismatch` with the difference unless all other tokens have the same ids and text is split by the same
    rules.
    """
    if reference == base or not any((reference / name).exists() for name in _FILES):
        return Comparison()
    ours, theirs = tokenizer_fields(base), tokenizer_fields(reference)
    if not ours or not theirs:
        return _compare_pieces(base, reference)
    try:
        return _compare(ours, theirs, base, reference)
    except (TypeError, AttributeError, IndexError, RecursionError) as error:
        raise _mismatch(f"its tokenizer.json or the base's is damaged ({type(error).__name__})") from error


def _compare(ours: dict[str, Any], theirs: dict[str, Any], base: Path, reference: Path) -> Comparison:
    if difference := _other_rules(ours, theirs):
        raise _mismatch(difference)
    ids, other_ids = token_ids(ours), token_ids(theirs)
    added = _added(ours)
    by_id: dict[int, str] = {}
    for token, number in other_ids.items():
        by_id.setdefault(number, token)
    moved = [
        token
        for token, number in ids.items()
        if other_ids.get(token) != number and (token in other_ids or number in by_id or token not in added)
    ]
    in_use = tokens_in_use(base, moved)
    if refused := [token for token in moved if token not in added or token in in_use]:
        raise _mismatch(_differing(refused, ids, other_ids, by_id))
    notices = []
    if moved:
        notices.append(
            f"Some ids mean other tokens in the reference's tokenizer: {_differing(moved, ids, other_ids, by_id)}. "
            "Rows with these tokens are not scored by the reference; the reason is recorded."
        )
    if own := [token for token in other_ids if token not in ids and not _is_filler(token, reference)]:
        notices.append(
            f"The reference's tokenizer has tokens that the base's lacks ({_listed(own, other_ids)}). Data is "
            "tokenised by the base's, so the reference sees such text as several tokens."
        )
    return Comparison(frozenset(ids[token] for token in moved), tuple(notices))


def tokenizer_fields(folder: Path) -> dict[str, Any]:
    """The fields of a folder's tokenizer.json, or the older files of a BPE tokenizer in the same form; empty if there
    are neither."""
    if (folder / "tokenizer.json").exists():
        return read_json(folder / "tokenizer.json")
    vocabulary = read_json(folder / "vocab.json")
    if not vocabulary:
        return {}
    path = folder / "merges.txt"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    merges = [line for line in lines if line and not line.startswith("#version")]
    added = [{"content": token, "id": number} for token, number in read_json(folder / "added_tokens.json").items()]
    return {"model": {"type": "BPE", "vocab": vocabulary, "merges": merges}, "added_tokens": added, _OLDER: True}


def _compare_pieces(base: Path, reference: Path) -> Comparison:
    """Compare tokenizers of which one has only a SentencePiece file."""
    names = [folder / "tokenizer.model" for folder in (base, reference)]
    if all(path.exists() for path in names) and content_hash(names[0]) == content_hash(names[1]):
        return Comparison()
    notice = (
        "The tokenizers of base and reference use different file formats and could not be compared. Make sure "
        "that they are the same: with different tokens the scores are meaningless."
    )
    if all(path.exists() for path in names):
        raise _mismatch("its tokenizer.model is different")
    return Comparison(notices=(notice,))


def token_ids(tokenizer: dict[str, Any]) -> dict[str, int]:
    """Every token's id, from the fields of a tokenizer.json; added tokens take precedence over the vocabulary."""
    model = tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    ids: dict[str, int] = {}
    if isinstance(vocabulary, dict):
        ids = {token: number for token, number in vocabulary.items() if isinstance(number, int)}
    elif isinstance(vocabulary, list):
        for number, entry in enumerate(vocabulary):
            if isinstance(entry, list) and entry and isinstance(entry[0], str):
                ids.setdefault(entry[0], number)
    return ids | _added(tokenizer)


def _added(tokenizer: dict[str, Any]) -> dict[str, int]:
    tokens = tokenizer.get("added_tokens")
    return {
        token["content"]: token["id"]
        for token in (tokens if isinstance(tokens, list) else ())
        if isinstance(token, dict) and isinstance(token.get("content"), str) and isinstance(token.get("id"), int)
    }


def _other_rules(ours: dict[str, Any], theirs: dict[str, Any]) -> str | None:
    """The first rule that splits text differently; None if all are the same."""
    older = _OLDER in ours or _OLDER in theirs  # its steps are in no file
    for part, name in () if older else _RULES:
        if _plain(ours.get(part)) != _plain(theirs.get(part)):
            return f"its {name} is different"
    rules, other_rules = _model_rules(ours), _model_rules(theirs)
    merges, other_merges = rules.pop("merges"), other_rules.pop("merges")
    if merges != other_merges:
        pairs = zip([*merges, "none"], [*other_merges, "none"], strict=False)
        number, (one, other) = next((at, pair) for at, pair in enumerate(pairs, 1) if pair[0] != pair[1])
        return f"its merges differ from number {number:,} on: {other!r} where the base has {one!r}"
    if older:
        return None
    if isinstance(scores := rules.get("scores"), dict) and isinstance(others := other_rules.get("scores"), dict):
        others = {
            piece: score for piece, score in others.items() if piece in scores
        }  # additional pieces do not change the rules
        other_rules["scores"] = others | {piece: score for piece, score in scores.items() if piece not in others}
    differing = sorted(key for key in rules.keys() | other_rules.keys() if rules.get(key) != other_rules.get(key))
    return f"its rules for splitting words differ ({differing[0]})" if differing else None


def _model_rules(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """A tokenizer's model without its ids, normalised: library versions write the same merges as "a b" or ["a", "b"],
    and omit disabled options or write false."""
    model = tokenizer.get("model")
    fields = dict(model) if isinstance(model, dict) else {}
    vocabulary = fields.pop("vocab", None)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in fields.pop("merges", None) or ()]
    rules = {key: value for key, value in fields.items() if key not in _NO_RULES and value not in (None, False, "", 0)}
    if isinstance(vocabulary, list):  # unigram: compare its probabilities
        rules["scores"] = {entry[0]: entry[1] for entry in vocabulary if isinstance(entry, list) and len(entry) > 1}
    return {**rules, "merges": merges}


def _plain(step: Any) -> Any:
    """A tokenizer step without disabled options, and without a sequence of one around it."""
    if isinstance(step, dict):
        steps = next((step[key] for key in ("normalizers", "pretokenizers") if isinstance(step.get(key), list)), None)
        if steps is not None and len(steps) < 2:
            return _plain(steps[0]) if steps else None
        return {
            key: _plain(value) for key, value in step.items() if key != "trim_offsets" and value not in (None, False)
        }
    return [_plain(part) for part in step] if isinstance(step, list) else step


def tokens_in_use(folder: Path, tokens: Iterable[str]) -> set[str]:
    """The tokens that a template writes, or that begin or end a text."""
    config = read_json(folder / "tokenizer_config.json")
    named = {**config, **read_json(folder / "special_tokens_map.json")}
    begin_or_end = {
        token.get("content") if isinstance(token, dict) else token
        for token in (named.get(f"{which}_token") for which in ("bos", "eos"))
    }
    template = str(config.get("chat_template") or "")
    path = folder / "chat_template.jinja"
    if path.exists():
        template += path.read_text(encoding="utf-8", errors="replace")
    return {token for token in tokens if token in begin_or_end or token in template}


def _is_filler(token: str, folder: Path) -> bool:
    pad = read_json(folder / "tokenizer_config.json").get("pad_token")
    return bool(_FILLER.search(token)) or token == (pad.get("content") if isinstance(pad, dict) else pad)


def _mismatch(difference: str) -> TokenizerMismatch:
    return TokenizerMismatch(
        f"Reference tokenizer differs from the base's: {difference}. Choose models that share a tokenizer."
    )


def _differing(tokens: list[str], ids: dict[str, int], other_ids: dict[str, int], by_id: dict[int, str]) -> str:
    """The first tokens with differing ids, and both ids."""
    sentences = []
    for token in sorted(tokens, key=ids.__getitem__)[:_NAMED]:
        number, other = ids[token], other_ids.get(token)
        if other is not None:
            sentences.append(f"{_quoted(token)} is {number} in the base's and {other} in the reference's")
        elif number in by_id:
            sentences.append(
                f"{number} is {_quoted(token)} in the base's and {_quoted(by_id[number])} in the reference's"
            )
        else:
            sentences.append(f"{_quoted(token)}, {number} in the base's, is missing in the reference's")
    return "; ".join(sentences) + _and_more(len(tokens))


def _listed(tokens: list[str], ids: dict[str, int]) -> str:
    first = sorted(tokens, key=ids.__getitem__)[:_NAMED]
    return ", ".join(f"{_quoted(token)} {ids[token]}" for token in first) + _and_more(len(tokens))


def _and_more(count: int) -> str:
    return f"; {count - _NAMED:,} more" if count > _NAMED else ""


def _quoted(token: str) -> str:
    return repr(token[:40])
