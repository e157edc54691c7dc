"""Jinja templates for bundles: Alpaca, plain and ChatML, equal to `rendering`, and a chat template with a fixed date.

A test compares them with `rendering.render`. `{% generation %}` marks what TRL trains on; axolotl does not support it
and finds the replies itself.
"""

import re
from datetime import date

from ..encoding.templates import ALPACA_HEAD, ALPACA_PAIRED, CHATML, asks_for_date

FILE_NAME = "chat_template.jinja"

# A tokenizer whose start-of-text and end-of-text token are the same does not start texts with it.
_START = "{%- if bos_token and bos_token != eos_token %}{{ bos_token }}{% endif -%}\n"
_ALPACA = (
    _START
    + """\
{%- set ns = namespace(head=none, system=none, paired='') -%}
{%- for message in messages -%}
{%- if message.role == 'system' and ns.system is none -%}
{%- set ns.system = loop.index0 -%}{%- set ns.head = message.content -%}
{%- endif -%}
{%- if message.role == 'context' -%}{%- set ns.paired = 'PAIRED' -%}{%- endif -%}
{%- endfor -%}
{{- ns.head or 'HEAD' ~ ns.paired ~ 'TAIL' -}}
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{{- '\\n\\n### Response:\\n' -}}
{% generation %}{{- message.content ~ eos_token -}}{% endgeneration %}
{%- elif message.role == 'user' -%}{{- '\\n\\n### Instruction:\\n' ~ message.content -}}
{%- elif message.role == 'context' -%}{{- '\\n\\n### Input:\\n' ~ message.content -}}
{%- elif message.role == 'tool' -%}{{- '\\n\\n### Tool:\\n' ~ message.content -}}
{%- elif loop.index0 != ns.system -%}{{- '\\n\\n' ~ message.content -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '\\n\\n### Response:\\n' -}}{%- endif -%}
"""
)
_PLAIN = (
    _START
    + """\
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{% generation %}{{- message.content ~ eos_token -}}{% endgeneration %}
{%- if not loop.last -%}{{- '\\n' -}}{%- endif -%}
{%- else -%}{{- message.content ~ '\\n' -}}
{%- endif -%}
{%- endfor -%}
"""
)


_CHATML_MARKED = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_DATE_CALL = re.compile(r"""strftime_now\(\s*(?:"([^"\\{}]*)"|'([^'\\{}]*)')\s*\)""")
_DATE_TEST = re.compile(r"strftime_now\s+is\s+(?:not\s+)?defined")


def jinja_template(template: str, with_marks: bool) -> str | None:
    """The Jinja text of a built-in template; None for "chat", which is the tokenizer's own or from a file."""
    if template == "chat":
        return None
    if template == "chatml":
        return _CHATML_MARKED if with_marks else CHATML
    head, tail = ALPACA_HEAD.split("{paired}")
    filled = _ALPACA.replace("PAIRED", ALPACA_PAIRED).replace("HEAD", head).replace("TAIL", tail)
    text = filled if template == "alpaca" else _PLAIN
    if with_marks:
        return text
    return text.replace("{% generation %}", "").replace("{% endgeneration %}", "")


def marks_replies(source: str) -> bool:
    """Whether a template marks the assistant's text."""
    return _GENERATION.search(source) is not None


def with_fixed_date(source: str, day: date) -> str | None:
    """A chat template's text with the date inserted where it asks for one; None if it asks in any other way than a call
    with a literal format."""

    def written(call: re.Match[str]) -> str:
        text = day.strftime(call[1] if call[1] is not None else call[2])
        return f"'{text}'" if "'" not in text and "\\" not in text else call[0]

    fixed = _DATE_CALL.sub(written, source)
    return None if asks_for_date(_DATE_TEST.sub("", fixed)) else fixed
