"""Chat templates that nothing in Python could stop: inside one call of C code, in any thread, with the parent gone."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from transformers.utils.chat_template_utils import _compile_jinja_template

from core.data.errors import TemplateFailed, TemplateStopped
from core.data.examples import Example
from core.encoding import rendering, template_process
from core.encoding.rendering import Rendered, render, render_all
from core.encoding.template_environment import template_environment
from core.encoding.template_process import described_template
from core.encoding.templates import Template
from core.system.process_facts import works_on
from tests.tiny_models import TURNS_TEMPLATE, example, make_tokenizer
from tests.waiting import wait_for

ROOT = Path(__file__).parents[3]
CHAT = Template("chat")
FINE = example(("user", "Hi"), ("assistant", "Hello!"))
HARD = example(("user", "hard"), ("assistant", "Hello!"))
_TWINS = (
    "{% set n = namespace(a=(1, 2), b=(1, 2)) %}"
    "{% for i in range(70) %}{% set n.a = (n.a, n.a) %}{% set n.b = (n.b, n.b) %}{% endfor %}"
)
HANGING = {
    "a comparison of nested tuples": _TWINS + "{{ n.a == n.b }}",
    "nested tuples sorted": _TWINS + "{{ [n.a, n.b] | sort }}",
    "a nested tuple as a key": "{% set n = namespace(a=(1, 2)) %}{% for i in range(70) %}{% set n.a = (n.a, n.a) %}"
    "{% endfor %}{{ {n.a: 1} }}",
    "a sum of lists": "{% set n = 1000 %}{{ ([[1] * n] * (60 * n)) | sum(start=[]) | length }}",
    "a great power": "{% set n = 10 ** 8 %}{{ (7 ** n) % 10 }}",
    "a text searched in a text": "{% set n = 5 * 10 ** 7 %}{% for i in range(1000) %}{{ ('a' * n ~ 'b') in 'a' * n }}"
    "{% endfor %}",
    "a loop": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
}


def hard_for_some(hanging: str) -> str:
    """A template that hangs on conversations that begin with "hard"."""
    return "{% if messages[0].content == 'hard' %}" + hanging + "{% endif %}" + TURNS_TEMPLATE


def rendered(template: str, *examples: Example) -> list[str]:
    """Each text, or the reason why there is none."""
    found = render_all(examples, make_tokenizer(chat_template=template), CHAT)
    return [item.text if isinstance(item, Rendered) else item for item in found]


@pytest.fixture(autouse=True)
def _own_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(template_process, "_idle", [])
    yield
    template_process._end_idle()


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_TEMPLATE_SECONDS", "0.3")


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize("hanging", HANGING.values(), ids=list(HANGING))
def test_a_template_that_hangs_is_stopped_and_the_other_conversations_are_rendered(hanging: str) -> None:
    fine, reason, fine_again = rendered(hard_for_some(hanging), FINE, HARD, FINE)
    assert reason == "The chat template took longer than 0.3 seconds for one conversation."
    assert fine == fine_again == rendered(TURNS_TEMPLATE, FINE)[0]


@pytest.mark.usefixtures("_soon")
def test_a_constant_that_takes_for_ever_is_computed_where_it_can_be_stopped() -> None:
    with pytest.raises(TemplateStopped, match=r"took longer than 0\.3 seconds"):
        render(FINE, make_tokenizer(chat_template="{{ 7 ** (10 ** 8) % 10 }}" + TURNS_TEMPLATE), CHAT)


@pytest.mark.usefixtures("_soon")
def test_several_in_a_row_end_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_STOPPED_IN_A_ROW", 2)
    template = hard_for_some(HANGING["a comparison of nested tuples"])
    assert ["took longer" in text for text in rendered(template, HARD, FINE, HARD)] == [True, False, True]
    with pytest.raises(TemplateFailed, match=r"took longer than 0\.3 seconds.*This happened 2 times in a row"):
        rendered(template, *[HARD] * 9)


@pytest.mark.usefixtures("_soon")
def test_limits_hold_in_every_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_TEMPLATE_MEGABYTES", "64")
    found: dict[str, list[str]] = {}

    def run(name: str, template: str) -> None:
        found[name] = rendered(hard_for_some(template), HARD, FINE)

    cases = {"slow": HANGING["a comparison of nested tuples"], "large": "{% set n = 10 ** 9 %}{{ 'a' * n }}"}
    threads = [threading.Thread(target=run, args=case) for case in cases.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fine = rendered(TURNS_TEMPLATE, FINE)[0]
    assert found == {
        "slow": ["The chat template took longer than 0.3 seconds for one conversation.", fine],
        "large": ["The chat template took more than 64 MB for one conversation.", fine],
    }


def test_a_process_stays_warm_and_follows_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered(TURNS_TEMPLATE, FINE)
    (process,) = template_process._idle
    monkeypatch.setenv("LOBASS_TEMPLATE_SECONDS", "0.1")
    assert "longer than 0.1 seconds" in rendered(hard_for_some(HANGING["a loop"]), HARD)[0]
    assert process._process.poll() == -signal.SIGPROF


def test_a_text_that_a_template_blows_up_is_refused() -> None:
    talkative = hard_for_some("{{ 'word ' * 300000 }}")
    fine, reason = rendered(talkative, FINE, HARD)
    assert "Hello!" in fine
    assert reason.startswith("The chat template wrote 1,500,0")
    long = example(("user", "hard"), ("assistant", "Hello! " * 30000))
    assert len(rendered(talkative, long)[0]) > 1_500_000


def test_a_process_that_somebody_killed_costs_no_row() -> None:
    fine = rendered(TURNS_TEMPLATE, FINE)
    (process,) = template_process._idle
    os.kill(process._process.pid, signal.SIGSTOP)  # it will never read the request
    found: list[str] = []
    asking = threading.Thread(target=lambda: found.extend(rendered(TURNS_TEMPLATE, FINE)))
    asking.start()
    wait_for(lambda: not template_process._idle, "the request")
    process._process.kill()
    asking.join()
    assert found == fine


def test_a_process_that_computes_nothing_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered(TURNS_TEMPLATE, FINE)
    (process,) = template_process._idle
    os.kill(process._process.pid, signal.SIGSTOP)
    monkeypatch.setattr(template_process, "_STARTING_SECONDS", 0.1)
    monkeypatch.setattr(template_process, "_PATIENCE", 0)
    template = described_template(make_tokenizer(), TURNS_TEMPLATE, date.today())
    assert template_process._render(template, [(FINE.turns, "")]) == ([], -signal.SIGKILL)


def test_a_template_that_brings_its_process_down_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ending = [sys.executable, "-c", "import sys; sys.stdin.readline(); sys.exit(3)"]
    monkeypatch.setattr(template_process, "module_command", lambda _: ending)
    with pytest.raises(TemplateStopped, match=r"ended the process that renders it, or made it hang \(exit status 3\)"):
        render(FINE, make_tokenizer(), CHAT)


def test_threads_that_render_at_once_get_their_own_texts() -> None:
    found: dict[int, list[str]] = {}

    def run(number: int) -> None:
        examples = [example(("user", f"{number}"), ("assistant", f"{number}-{i}")) for i in range(150)]
        found[number] = rendered(TURNS_TEMPLATE, *examples)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, texts in found.items():
        assert [f"{number}-{i}<|end|>" in text for i, text in enumerate(texts)] == [True] * 150
    assert len(template_process._idle) <= template_process._KEPT


ASKING = """
import os, sys
from core.data.examples import Message
from core.encoding import template_process as own
process = own._TemplateProcess()
process.ask(sys.argv[1], [([Message("user", "hard"), Message("assistant", "Hello!")], "")])
print(process._process.pid, flush=True)
process.answer()
print("answered", flush=True)
os._exit(0)
"""
"""Has a conversation rendered and ends without a word to the process that did it."""


def asking(template: str, seconds: str = "2") -> "subprocess.Popen[str]":
    described = described_template(make_tokenizer(), template, date.today())
    environment = {**os.environ, "LOBASS_TEMPLATE_SECONDS": seconds}
    command = [sys.executable, "-c", ASKING, described]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=environment, text=True)


def test_a_process_ends_though_it_is_busy_and_its_parent_was_killed() -> None:
    with asking(HANGING["a great power"].replace("% 10", ""), "3") as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert works_on(child, "template_worker")
        parent.kill()
    wait_for(lambda: not works_on(child, "template_worker"), "the end of the process that renders")


def test_an_idle_process_ends_with_its_parent() -> None:
    with asking(TURNS_TEMPLATE) as parent:
        told, _ = parent.communicate()
    child, answered = told.split()
    assert answered == "answered"
    wait_for(lambda: not works_on(int(child), "template_worker"), "the end of the idle process")


def test_the_process_imports_only_what_it_needs() -> None:
    program = (
        "import sys, core.encoding.template_worker\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, text=True)
    assert set(done.stdout.split()) - {"__main__", "_virtualenv", "_distutils_hack"} <= {"core", "jinja2", "markupsafe"}


# The environment is that of transformers

WRITTEN = [
    "{{ {'a': '<b> & \\u00e9', 'c': [1, 2]} | tojson }}|{{ {'b': 1, 'a': 2} | tojson(indent=2, sort_keys=true) }}",
    "{{ 'é' | tojson(ensure_ascii=true) }}|{{ [1, {'a': none}] | tojson(separators=(',', ':')) }}",
    "{% for i in range(9) %}\n  {% if i == 2 %}{% continue %}{% endif %}\n  {{ i }}\n"
    "{% if i == 4 %}{% break %}{% endif %}{% endfor %}",
    "a {% generation %} b {{ given }} {% endgeneration %} c\n",
    "{% generation %}{% for x in [1, 2] %}{{ x }}{% endfor %}{% endgeneration %}",
    "{% set n = namespace(a=1, self=2) %}{% set n.a = n.a + 1 %}{{ n.a }}{{ n.self }}",
    "{{ dict(a=1) }}{{ dict.fromkeys([1, 2], 3) }}{{ dict([(1, 2)]) }}",
    "{{ strftime_now('%Y') }}{{ strftime_now(format='%Y') }}",
    "  {%- if true %}\n\n x \n  {%- endif %}\n",
]
REFUSED = [
    "{{ raise_exception('no') }}",
    "{{ raise_exception(message='no') }}",
    "{{ namespace(_a=1) }}",
    "{% set n = namespace() %}{% set n._a = 1 %}",
    "{{ dict.__class__.__mro__ }}",
    "{{ dict.fromkeys.__globals__.os }}",
    "{{ given.append(1) }}",
    "{{ strftime_now.__globals__.os }}",
    "{{ {'a': strftime_now} | tojson }}",
    "{% generation %}",
    "{% do x %}",
    "{% include 'x' %}",
]


def outcome(environment: Any, source: str) -> str:
    try:
        return str(environment.from_string(source).render(given=["x"]))
    # Whatever it raises is compared.
    except Exception as error:  # noqa: BLE001
        return re.sub(r" at 0x\w+|core\S+\.|transformers\S+\.", "", f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("source", [*WRITTEN, *REFUSED])
def test_a_template_finds_what_it_finds_in_transformers(source: str) -> None:
    ours = outcome(template_environment(), source)
    assert ours == outcome(_compile_jinja_template("").environment, source)
    assert (source in REFUSED) == bool(re.match(r"\w+Error: ", ours))


def test_the_environment_has_the_names_and_rules_of_transformers() -> None:
    ours, theirs = template_environment(), _compile_jinja_template("").environment
    assert isinstance(ours, theirs.__class__)
    for part in ("filters", "globals", "tests", "policies"):
        assert getattr(ours, part).keys() == getattr(theirs, part).keys()
    assert {type(extension).__bases__ for extension in ours.extensions.values()} == {
        type(extension).__bases__ for extension in theirs.extensions.values()
    }
    for rule in (
        "trim_blocks",
        "lstrip_blocks",
        "keep_trailing_newline",
        "autoescape",
        "undefined",
        "newline_sequence",
    ):
        assert getattr(ours, rule) == getattr(theirs, rule)
