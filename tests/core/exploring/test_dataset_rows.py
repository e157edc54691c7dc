"""Rows of a dataset are browsed, searched and read before anything is scored."""

import pytest

from core.data.errors import NotFound, SelectionInvalid
from core.data.text_search import ANY_TEXT, TextSearch
from core.exploring.dataset_rows import dataset_page, dataset_row
from core.store import Store


def numbers(store: Store, domains: tuple[str, ...] = (), search: TextSearch = ANY_TEXT, page: int = 1) -> list[int]:
    frame, _ = dataset_page(store, "space", domains, search, page, 8)
    return [int(number) for number in frame["row_number"]]


def test_pages_follow_the_datasets_order(scored_store: Store) -> None:
    assert [numbers(scored_store, page=page) for page in (1, 3, 4)] == [list(range(1, 9)), [17, 18, 19, 20], []]


def test_a_page_has_the_beginnings_of_texts_and_the_count_of_all(scored_store: Store) -> None:
    frame, total = dataset_page(scored_store, "space", (), ANY_TEXT, 1, 8)
    assert total == 20
    assert frame.iloc[0].to_dict() == {
        "row_number": 1, "domain": "chat", "prompt": "What is it?", "response": "answer 1"
    }  # fmt: skip


def test_domains_and_a_search_narrow_the_rows(scored_store: Store) -> None:
    assert numbers(scored_store, ("math",)) == list(range(11, 19))
    assert numbers(scored_store, search=TextSearch("answer 2", place="response")) == [2, 20]
    assert numbers(scored_store, ("math",), TextSearch("answer 2")) == [20]
    assert dataset_page(scored_store, "space", (), TextSearch("nowhere"), 1, 8)[1] == 0


def test_an_invalid_pattern_is_a_sentence(scored_store: Store) -> None:
    with pytest.raises(SelectionInvalid, match="is invalid"):
        numbers(scored_store, search=TextSearch("(", "regex"))


def test_a_row_is_read_with_where_it_comes_from(scored_store: Store) -> None:
    found = dataset_row(scored_store, "space", 12)
    assert (found["row_number"], found["domain"], found["source"], found["line"]) == (12, "math", "s.jsonl", 12)
    assert found["example"].response == "answer 12"
    assert found["duplicate_count"] == 0
    with pytest.raises(NotFound, match="has no row 21"):
        dataset_row(scored_store, "space", 21)
