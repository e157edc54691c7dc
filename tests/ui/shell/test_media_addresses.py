"""The address of a download depends on a secret of the server and on its visitor, not on the content alone."""

import pytest

from ui.shell import media_addresses
from ui.shell.media_addresses import secret_file_id

FILE = (b"rows", "text/csv", "rows.csv")


def test_who_knows_visitor_and_content_still_lacks_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_addresses, "visitor_name", lambda: "ada@example.org")
    address = secret_file_id(*FILE)
    assert secret_file_id(*FILE) == address  # a page drawn again keeps its links
    monkeypatch.setattr(media_addresses, "_SECRET", bytes(32))
    assert secret_file_id(*FILE) != address


def test_two_visitors_have_two_addresses_and_nobodys_is_another_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["ada@example.org", "bob@example.org", None, None])
    monkeypatch.setattr(media_addresses, "visitor_name", lambda: next(names))
    assert len({secret_file_id(*FILE) for _ in range(4)}) == 4
