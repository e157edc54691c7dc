"""Jinja templates that write the Alpaca and the plain form as `core.rendering` does, for trainers that want one.

A test holds their text to `core.rendering.render`. `{% generation %}` marks what TRL trains on; axolotl's reader of
templates does not know it and finds the replies itself.
"""

from core.templates import ALPACA_HEAD, ALPACA_PAIRED

FILE_NAME = "chat_template.jinja"

# A tokenizer whose start and end of text are one token does not begin texts with it.
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


def jinja_template(template: str, marks_replies: bool) -> str | None:
    """The Jinja text of a template, None for "chat": that is the tokenizer's own."""
    if template == "chat":
        return None
    head, tail = ALPACA_HEAD.split("{paired}")
    filled = _ALPACA.replace("PAIRED", ALPACA_PAIRED).replace("HEAD", head).replace("TAIL", tail)
    text = filled if template == "alpaca" else _PLAIN
    if marks_replies:
        return text
    return text.replace("{% generation %}", "").replace("{% endgeneration %}", "")
