"""How a template wants its messages is told from its text as the encoder finds out by trying it."""

import re
from datetime import date
from pathlib import Path

import pytest
import trl

from core.encoding.chat_template import ChatTemplate
from core.encoding.reply_spans import SpecialTokens
from core.exporting.chat_templates import with_fixed_date
from core.exporting.message_form import USUAL_FORM, message_form, wants_short_ids
from tests.tiny_models import TURNS_TEMPLATE

TEMPLATES = sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))
DAY = date(2026, 3, 7)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_the_form_is_the_one_that_the_encoder_finds_by_trying(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_TEMPLATE_SECONDS", "60")  # a form that is too slow to try counts as not accepted
    source = path.read_text(encoding="utf-8")
    told = message_form(source)
    tried = ChatTemplate(
        source, {"bos_token": "<s>", "eos_token": "</s>"}, SpecialTokens(re.compile("(?!)")), DAY
    )._form
    assert (told.arguments, told.content_of_calls, told.has_system) == (
        tried.arguments,
        tried.content_of_calls,
        tried.has_system,
    )
    assert bool(told.thought_keys) == bool(tried.thought_keys)
    assert set(told.thought_keys) <= set(tried.thought_keys)


def test_a_template_that_is_not_at_hand_or_none_has_the_usual_form() -> None:
    for source in ("", "{% for %}", "{{ " + "9" * 5000 + " }}", "{{ " + "(" * 5000 + " }}"):
        assert message_form(source) == USUAL_FORM


def test_a_template_of_role_and_content_knows_neither_thoughts_nor_calls() -> None:
    form = message_form(TURNS_TEMPLATE)
    assert (form.thought_keys, form.arguments, form.has_system) == ((), "content", True)


def test_a_template_that_insists_on_nine_characters_wants_short_ids() -> None:
    assert wants_short_ids("{{ raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}")
    assert not wants_short_ids(TURNS_TEMPLATE)


@pytest.mark.parametrize(
    ("source", "fixed"),
    [
        ("Today is {{ strftime_now('%d %b %Y') }}.", "Today is {{ '07 Mar 2026' }}."),
        ('{{ "Date: " + strftime_now("%Y-%m-%d") }}', "{{ \"Date: \" + '2026-03-07' }}"),
        (
            "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% endif %}",
            "{% if strftime_now is defined %}{{ '2026' }}{% endif %}",
        ),
        ("{{ strftime_now(form) }}", None),
        ("{% set now = strftime_now %}{{ now('%Y') }}", None),
        ("{{ strftime_now('%d' + ' %b') }}", None),
    ],
)
def test_the_date_is_written_out_only_where_it_is_asked_for_plainly(source: str, fixed: str | None) -> None:
    assert with_fixed_date(source, DAY) == fixed
