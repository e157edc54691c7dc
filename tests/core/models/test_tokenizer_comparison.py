"""Which tokenizers may be compared: ids must mean the same, and what differs is said by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.data.errors import TokenizerMismatch
from core.models.tokenizer_comparison import Comparison, compare_tokenizers, token_ids
from tests.tiny_models import PAD, TURN_END, TURN_START, make_tokenizer


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizers") / "base"
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def base(saved: Path, tmp_path: Path) -> Path:
    """A copy of the tokenizer that a test may change."""
    return Path(shutil.copytree(saved, tmp_path / "base"))


@pytest.fixture
def reference(saved: Path, tmp_path: Path) -> Path:
    """Another."""
    return Path(shutil.copytree(saved, tmp_path / "reference"))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "tokenizer.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    change(fields)
    path.write_text(json.dumps(fields), encoding="utf-8")


def added(content: str, number: int, **flags: object) -> dict[str, object]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": number, "content": content, **plain, **flags}


def test_one_more_padding_token_in_the_reference_is_no_difference(base: Path, reference: Path) -> None:
    edit(reference, lambda fields: fields["added_tokens"].append(added("[PAD]", 400)))
    assert compare_tokenizers(base, reference) == Comparison()


def test_filler_tokens_up_to_the_next_64_are_no_difference(base: Path, reference: Path) -> None:
    edit(
        reference,
        lambda fields: fields["added_tokens"].extend(added(f"<extra_{number}>", number) for number in range(400, 448)),
    )
    assert compare_tokenizers(base, reference) == Comparison()


def test_one_more_token_in_the_base_is_no_difference(base: Path, reference: Path) -> None:
    edit(base, lambda fields: fields["added_tokens"].append(added("<|more|>", 400)))
    assert compare_tokenizers(base, reference) == Comparison()


def test_flags_and_order_of_added_tokens_are_no_difference(base: Path, reference: Path) -> None:
    def other_flags(fields: dict[str, Any]) -> None:
        fields["added_tokens"].reverse()
        for token in fields["added_tokens"]:
            token.update(normalized=True, lstrip=True, special=False)

    edit(reference, other_flags)
    assert compare_tokenizers(base, reference) == Comparison()


def test_the_same_tokenizer_saved_by_another_library_version_is_no_difference(base: Path, reference: Path) -> None:
    def as_older_versions_wrote_it(fields: dict[str, Any]) -> None:
        fields["model"]["merges"] = [" ".join(merge) for merge in fields["model"]["merges"]]
        fields["model"].pop("ignore_merges", None)
        fields["normalizer"] = {"type": "Sequence", "normalizers": []}
        fields["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [fields["pre_tokenizer"]]}

    edit(reference, as_older_versions_wrote_it)
    assert compare_tokenizers(base, reference) == Comparison()


def test_a_reference_with_another_template_or_no_tokenizer_reads_as_the_base_does(base: Path, reference: Path) -> None:
    (reference / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    assert compare_tokenizers(base, reference) == Comparison()
    (reference / "tokenizer.json").unlink()
    assert compare_tokenizers(base, reference) == Comparison()


def test_a_smaller_vocabulary_is_refused_and_the_first_missing_tokens_are_named(tmp_path: Path, base: Path) -> None:
    make_tokenizer(vocabulary_size=380).save_pretrained(tmp_path / "small")
    with pytest.raises(TokenizerMismatch, match=r"its merges differ from number \d+ on: 'none' where the base has"):
        compare_tokenizers(base, tmp_path / "small")


def test_other_merges_are_refused_with_the_first_that_differs(base: Path, reference: Path) -> None:
    edit(reference, lambda fields: fields["model"]["merges"].reverse())
    with pytest.raises(TokenizerMismatch, match=r"its merges differ from number 1 on: '.+' where the base has '.+'"):
        compare_tokenizers(base, reference)


@pytest.mark.parametrize(
    ("part", "step", "name"),
    [
        ("normalizer", {"type": "Lowercase"}, "normaliser"),
        ("pre_tokenizer", {"type": "ByteLevel", "add_prefix_space": True}, "pre-tokeniser"),
    ],
)
def test_another_rule_of_splitting_is_refused_by_name(
    part: str, step: dict[str, object], name: str, base: Path, reference: Path
) -> None:
    edit(reference, lambda fields: fields.update({part: step}))
    with pytest.raises(TokenizerMismatch, match=f"differs from the base's: its {name} is different"):
        compare_tokenizers(base, reference)


def test_tokens_that_swapped_their_ids_are_refused_by_name_with_both(base: Path, reference: Path) -> None:
    ids = token_ids(json.loads((base / "tokenizer.json").read_text(encoding="utf-8")))
    one, other = ids["a"], ids["b"]

    def swap(fields: dict[str, Any]) -> None:
        fields["model"]["vocab"].update({"a": other, "b": one})

    edit(reference, swap)
    expected = rf"'a' is {one} in the base's and {other} in the reference's; 'b' is {other} .* and {one} in"
    with pytest.raises(TokenizerMismatch, match=expected):
        compare_tokenizers(base, reference)


def test_of_many_moved_tokens_three_are_named_and_the_others_counted(base: Path, reference: Path) -> None:
    def shift(fields: dict[str, Any]) -> None:
        vocabulary = fields["model"]["vocab"]
        fields["model"]["vocab"] = {token: number + (number > 100) for token, number in vocabulary.items()}

    edit(reference, shift)
    with pytest.raises(TokenizerMismatch, match=r"is 101 in .*; .* is 102 in .*; .* is 103 in .*; 296 more\. Choose"):
        compare_tokenizers(base, reference)


def test_a_turn_token_behind_another_id_is_refused(base: Path, reference: Path) -> None:
    def swap(fields: dict[str, Any]) -> None:
        numbers = {token["content"]: token["id"] for token in fields["added_tokens"]}
        other = {TURN_START: numbers[TURN_END], TURN_END: numbers[TURN_START]}
        for token in fields["added_tokens"]:
            token["id"] = other.get(token["content"], token["id"])
        fields["model"]["vocab"].update(other)

    edit(reference, swap)
    with pytest.raises(TokenizerMismatch, match=r"'<\|turn\|>' is 3 in the base's and 4 in the reference's"):
        compare_tokenizers(base, reference)


def test_a_reserved_token_that_the_reference_renamed_is_taken_and_said(base: Path, reference: Path) -> None:
    edit(base, lambda fields: fields["added_tokens"].append(added("<|reserved_0|>", 400)))
    edit(reference, lambda fields: fields["added_tokens"].append(added("<|tool|>", 400)))
    found = compare_tokenizers(base, reference)
    assert found.other_ids == {400}
    assert "400 is '<|reserved_0|>' in the base's and '<|tool|>' in the reference's" in found.notices[0]


def test_tokens_of_the_references_own_are_said(base: Path, reference: Path) -> None:
    edit(reference, lambda fields: fields["added_tokens"].append(added("<|think|>", 400)))
    found = compare_tokenizers(base, reference)
    assert found.other_ids == frozenset()
    assert "has tokens that the base's lacks ('<|think|>' 400)" in found.notices[0]


def test_ids_are_read_from_vocabularies_of_both_forms_and_from_added_tokens() -> None:
    tokens = [added(PAD, 2)]
    words = {"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": tokens}
    unigram = {"model": {"vocab": [["a", -1.5], ["b", -2.0]]}, "added_tokens": tokens}
    assert token_ids(words) == token_ids(unigram) == {"a": 0, "b": 1, PAD: 2}
    assert token_ids({"model": None, "added_tokens": "?"}) == {}


def test_offsets_and_unknown_words_split_nothing(base: Path, reference: Path) -> None:
    def change(fields: dict[str, Any]) -> None:
        fields["pre_tokenizer"]["trim_offsets"] = not fields["pre_tokenizer"]["trim_offsets"]
        fields["model"].update(dropout=0.1, unk_token="<s>")

    edit(reference, change)
    assert compare_tokenizers(base, reference) == Comparison()


def test_the_older_files_of_a_tokenizer_are_compared_with_the_newer_one(base: Path, reference: Path) -> None:
    fields = json.loads((reference / "tokenizer.json").read_text(encoding="utf-8"))
    (reference / "tokenizer.json").unlink()
    (reference / "vocab.json").write_text(json.dumps(fields["model"]["vocab"]), encoding="utf-8")
    merges = [" ".join(merge) for merge in fields["model"]["merges"]]
    (reference / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]), encoding="utf-8")
    assert compare_tokenizers(base, reference) == compare_tokenizers(reference, base) == Comparison()
    (reference / "merges.txt").write_text("\n".join(reversed(merges)), encoding="utf-8")
    with pytest.raises(TokenizerMismatch, match="its merges differ"):
        compare_tokenizers(base, reference)


def test_sentencepiece_files_alone_are_compared_whole(base: Path, reference: Path) -> None:
    for folder, content in ((base, b"one"), (reference, b"one")):
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer.model").write_bytes(content)
    assert compare_tokenizers(base, reference) == Comparison()
    (reference / "tokenizer.model").write_bytes(b"other")
    with pytest.raises(TokenizerMismatch, match=r"its tokenizer\.model is different"):
        compare_tokenizers(base, reference)
    (base / "tokenizer.model").unlink()
    assert "could not be compared" in compare_tokenizers(base, reference).notices[0]


@pytest.mark.parametrize(("change", "taken"), [(["new", 0.0], True), (["b", -2.0], False)])
def test_more_pieces_are_no_other_rule_of_a_unigram_model_and_other_scores_are(
    change: list[object], taken: bool, base: Path, reference: Path
) -> None:
    pieces = [["a", -1.0], ["b", -1.5]]
    for folder in (base, reference):
        edit(
            folder,
            lambda fields: fields.update(model={"type": "Unigram", "unk_id": 0, "vocab": pieces}, added_tokens=[]),
        )
    theirs = [*pieces, change] if taken else [pieces[0], change]
    edit(reference, lambda fields: fields["model"].update(vocab=theirs))
    if taken:
        assert compare_tokenizers(base, reference).other_ids == frozenset()
        return
    with pytest.raises(TokenizerMismatch, match=r"its rules for splitting words differ \(scores\)"):
        compare_tokenizers(base, reference)


@pytest.mark.parametrize("merges", [[1, 2], [[1]], 7, {"a": 1}])
def test_a_damaged_tokenizer_ends_in_a_sentence(merges: object, base: Path, reference: Path) -> None:
    edit(reference, lambda fields: fields["model"].update(merges=merges))
    with pytest.raises(TokenizerMismatch, match=r"differs from the base's: "):
        compare_tokenizers(base, reference)
