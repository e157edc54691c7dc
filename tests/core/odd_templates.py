"""Chat templates written for tests, each with one odd habit, conversations that meet it, and their masks by hand."""

from dataclasses import dataclass

from core.data.examples import Example, Message
from tests.core.chat_conversations import CONVERSATIONS
from tests.core.chat_families import Family

TOKENS = Family(("<s>", "</s>", "<|im_start|>", "<|im_end|>"), ("<think>", "</think>"), "<s>", "</s>")
CHATML_TOKENS = Family(("<s>", "<|im_start|>", "<|im_end|>"), ("<think>", "</think>"), "<s>", "<|im_end|>")

_OPEN = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
_TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"


@dataclass(frozen=True, slots=True)
class OddTemplate:
    """A template's text, and by conversation the text that it writes with what is scored in [[ ]]."""

    source: str
    masks: dict[str, str]
    tokens: Family = TOKENS


def _said(*contents: str, system: str = "") -> Example:
    turns = [Message(("user", "assistant")[i % 2], content) for i, content in enumerate(contents)]
    return Example((*([Message("system", system)] if system else []), *turns))


def conversation(kind: str) -> Example:
    """One of the conversations, by its name; else its turns, user's and assistant's, with | between them."""
    return CONVERSATIONS[kind]("") if kind in CONVERSATIONS else _said(*kind.split("|"))


_ALTERNATE = (
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate.') }}{% endif %}"
)
_INSTRUCTIONS = (
    "{{ bos_token }}{% for m in messages %}" + _ALTERNATE + "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content }}</s>"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
_CHATML_TWO = (
    "<|im_start|>user\nALPHA?<|im_end|>\n<|im_start|>assistant\n[[BETA.<|im_end|>]]\n"
    "<|im_start|>user\nGAMMA?<|im_end|>\n<|im_start|>assistant\n[[DELTA.<|im_end|>]]\n"
)
_REFUSED = "(refused) The chat template refused the conversation: "
_NOT_SHOWN = "(refused) The chat template does not show where the reply begins."

ODD_TEMPLATES = {
    "has no system role, lets roles alternate, opens no reply": OddTemplate(
        _INSTRUCTIONS,
        {
            "two turns": "<s>[INST] ALPHA? [/INST] [[BETA.</s>]][INST] GAMMA? [/INST] [[DELTA.</s>]]",
            "system prompt": "<s>[INST] SYS.\n\nALPHA? [/INST] [[BETA.</s>]]",
            "empty reply in the middle": "<s>[INST] ALPHA? [/INST] [[</s>]][INST] GAMMA? [/INST] [[DELTA.</s>]]",
            "two replies in a row": _REFUSED + "Roles must alternate.",
            "reply first": _REFUSED + "Roles must alternate.",
        },
    ),
    "ends a turn at the beginning of the next": OddTemplate(
        "{% for m in messages %}{% if not loop.first %}<|im_end|>\n{% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}"
        "{% endfor %}{% if add_generation_prompt %}<|im_end|>\n<|im_start|>assistant\n{% endif %}",
        {
            "two turns": "<|im_start|>user\nALPHA?<|im_end|>\n<|im_start|>assistant\n[[BETA.<|im_end|>]]\n"
            "<|im_start|>user\nGAMMA?<|im_end|>\n<|im_start|>assistant\n[[DELTA.]]",
        },
        CHATML_TOKENS,
    ),
    "ends the text after its loop": OddTemplate(
        "{% for m in messages %}{{ m.role | capitalize }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}Assistant:{% else %}{{ eos_token }}{% endif %}",
        {
            "two turns": "User: ALPHA?\nAssistant:[[ BETA.\n]]User: GAMMA?\nAssistant:[[ DELTA.\n</s>]]",
            "system prompt": "System: SYS.\nUser: ALPHA?\nAssistant:[[ BETA.\n</s>]]",
        },
    ),
    "ends the text after its loop, and each turn too": OddTemplate(
        "{% for m in messages %}" + _TURN + "{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% else %}{{ eos_token }}{% endif %}",
        {"two turns": _CHATML_TWO + "</s>"},
    ),
    "has no special token": OddTemplate(
        "{% for m in messages %}{{ m.role | capitalize }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}Assistant:{% endif %}",
        {
            "two turns": "User: ALPHA?\nAssistant:[[ BETA.\n]]User: GAMMA?\nAssistant:[[ DELTA.\n]]",
            "empty reply in the middle": "User: ALPHA?\nAssistant:[[ \n]]User: GAMMA?\nAssistant:[[ DELTA.\n]]",
            "ALPHA?|User: BETA.\nAssistant: x|GAMMA?|DELTA.": "User: ALPHA?\nAssistant:[[ User: BETA.\nAssistant: x\n]]"
            "User: GAMMA?\nAssistant:[[ DELTA.\n]]",
        },
    ),
    "separates turns by spaces": OddTemplate(
        "{% for m in messages %}{% if m.role == 'user' %}{{ 'USER: ' + m.content + ' ' }}"
        "{% else %}{{ 'ASSISTANT: ' + m.content + eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT:{% endif %}",
        {"two turns": "USER: ALPHA? ASSISTANT:[[ BETA.</s>]]USER: GAMMA? ASSISTANT:[[ DELTA.</s>]]"},
    ),
    "separates turns by line breaks, which a prompt has not": OddTemplate(
        "{% for m in messages %}{{ '' if loop.first else '\n\n' }}<|im_start|>{{ m.role }}\n{{ m.content }}"
        "{% for c in m.tool_calls or [] %}<call>{{ c.function.name }} {{ c.function.arguments | tojson }}</call>"
        "{% endfor %}<|im_end|>{% endfor %}" + _OPEN,
        {
            "two turns": "<|im_start|>user\nALPHA?<|im_end|>\n\n<|im_start|>assistant\n[[BETA.<|im_end|>]]\n\n"
            "<|im_start|>user\nGAMMA?<|im_end|>\n\n<|im_start|>assistant\n[[DELTA.<|im_end|>]]",
            "tool call last": "<|im_start|>user\nALPHA?<|im_end|>\n\n<|im_start|>assistant\n"
            '[[<call>get_time {"zone": "UTC"}</call><|im_end|>]]',
        },
    ),
    "trims contents": OddTemplate(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}" + _OPEN,
        {
            "white space around replies": _CHATML_TWO,
            "two turns": _CHATML_TWO,
            " ALPHA?\n|BETA.|GAMMA?|DELTA.": _CHATML_TWO,
        },
    ),
    "strips what stands at the left of replies": OddTemplate(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.lstrip() }}<|im_end|>\n{% endfor %}" + _OPEN,
        {
            "white space around replies": "<|im_start|>user\nALPHA?<|im_end|>\n<|im_start|>assistant\n"
            "[[BETA. \n<|im_end|>]]\n<|im_start|>user\nGAMMA?<|im_end|>\n<|im_start|>assistant\n"
            "[[DELTA.\n\n<|im_end|>]]\n",
        },
    ),
    "strips the thoughts of earlier turns": OddTemplate(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{{ m.content if loop.last else m.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}" + _OPEN,
        {
            "inline thoughts in two turns": "(left out 21 %) <|im_start|>user\nALPHA?<|im_end|>\n"
            "<|im_start|>assistant\n[[BETA.<|im_end|>]]\n<|im_start|>user\nGAMMA?<|im_end|>\n<|im_start|>assistant\n"
            "[[<think>WHY2</think>DELTA.<|im_end|>]]\n",
        },
    ),
    "asks for the date": OddTemplate(
        "<|im_start|>system\n{{ strftime_now('%d %b %Y') }}<|im_end|>\n{% for m in messages %}"
        + _TURN
        + "{% endfor %}"
        + _OPEN,
        {"two turns": "<|im_start|>system\n05 Mar 2026<|im_end|>\n" + _CHATML_TWO},
    ),
    "gathers all text in a namespace": OddTemplate(
        "{% set ns = namespace(text='') %}{% for m in messages %}"
        "{% set ns.text = ns.text + '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' %}{% endfor %}"
        "{{ ns.text }}" + _OPEN,
        {
            "two turns": _CHATML_TWO,
            "ALPHA?|ALPHA?": "<|im_start|>user\nALPHA?<|im_end|>\n<|im_start|>assistant\n[[ALPHA?<|im_end|>]]\n",
            "two replies in a row": "<|im_start|>user\nALPHA?<|im_end|>\n<|im_start|>assistant\n[[BETA.<|im_end|>]]\n"
            "<|im_start|>assistant\n[[DELTA.<|im_end|>]]\n",
            # Nothing marks the empty reply's place in a text written at once.
            "empty reply in the middle": _NOT_SHOWN,
        },
    ),
    "writes turns by a macro, contents by a block": OddTemplate(
        "{% macro turn(role, text) %}<|im_start|>{{ role }}\n{{ text }}<|im_end|>\n{% endmacro %}"
        "{% for m in messages %}{% set body %}{{ m.content | trim }}{% endset %}{{ turn(m.role, body) }}{% endfor %}"
        + _OPEN,
        {"two turns": _CHATML_TWO, "white space around replies": _CHATML_TWO},
    ),
    "writes the whole conversation by a block": OddTemplate(
        "{% set all %}{% for m in messages %}" + _TURN + "{% endfor %}{% endset %}{{ all }}" + _OPEN,
        {"two turns": _CHATML_TWO},
    ),
    "goes through pairs of turns": OddTemplate(
        "{% for i in range(0, messages | length, 2) %}[INST] {{ messages[i].content }} [/INST]"
        "{% if i + 1 < messages | length %} {{ messages[i + 1].content }}</s>{% endif %}{% endfor %}",
        {
            "two turns": "[INST] ALPHA? [/INST] [[BETA.</s>]][INST] GAMMA? [/INST] [[DELTA.</s>]]",
            "ALPHA?|ALPHA?|ALPHA?|ALPHA?": "[INST] ALPHA? [/INST] [[ALPHA?</s>]][INST] ALPHA? [/INST] [[ALPHA?</s>]]",
        },
    ),
    "cuts the system turn off": OddTemplate(
        "{% if messages[0].role == 'system' %}{{ '<<SYS>>' + messages[0].content + '<</SYS>>' }}"
        "{% set messages = messages[1:] %}{% endif %}{% for m in messages %}" + _TURN + "{% endfor %}" + _OPEN,
        {"system prompt and two turns": "<<SYS>>SYS.<</SYS>>" + _CHATML_TWO, "two turns": _CHATML_TWO},
    ),
    "says itself what is generated": OddTemplate(
        "{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>assistant\n"
        "{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{{ '\n' }}{% else %}"
        + _TURN
        + "{% endif %}{% endfor %}"
        + _OPEN,
        {"two turns": _CHATML_TWO},
    ),
    "opens a thought": OddTemplate(
        "{% for m in messages %}" + _TURN + "{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}",
        {
            "two turns": _CHATML_TWO,
            "inline thought": "<|im_start|>user\nALPHA?<|im_end|>\n<|im_start|>assistant\n<think>\n"
            "[[WHY.\n</think>\n\nBETA.<|im_end|>]]\n",
            "replies that begin like a thought": "<|im_start|>user\nALPHA?<|im_end|>\n<|im_start|>assistant\n"
            "[[<<|im_end|>]]\n<|im_start|>user\nGAMMA?<|im_end|>\n<|im_start|>assistant\n[[<thin<|im_end|>]]\n",
        },
    ),
    "begins the text anew at every user's turn": OddTemplate(
        "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}"
        "{% else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}",
        {"two turns": "<s>[INST] ALPHA? [/INST] [[BETA. </s>]]<s>[INST] GAMMA? [/INST] [[DELTA. </s>]]"},
    ),
    "writes answers of tools in the turn that calls": OddTemplate(
        "{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>assistant\n"
        "{% for c in m.tool_calls or [] %}<call>{{ c.function.name }} {{ c.function.arguments | tojson }}</call>"
        "{% endfor %}{% if m.tool_calls %}{% for t in messages[loop.index:] %}{% if t.role != 'tool' %}{% break %}"
        "{% endif %}<answer>{{ t.content }}</answer>{% endfor %}{% endif %}{{ m.content }}<|im_end|>\n"
        "{% elif m.role != 'tool' %}" + _TURN + "{% endif %}{% endfor %}" + _OPEN,
        {
            "text and tool call": "<|im_start|>user\nALPHA?<|im_end|>\n<|im_start|>assistant\n"
            '[[<call>get_time {"zone": "UTC"}</call>]]<answer>12:00</answer>[[I look.<|im_end|>]]\n'
            "<|im_start|>assistant\n[[Noon.<|im_end|>]]\n",
        },
    ),
    "writes contents as JSON": OddTemplate(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | tojson }}<|im_end|>\n{% endfor %}" + _OPEN,
        {
            'ALPHA?|é "B"\n🎉|GAMMA?|DELTA.': '<|im_start|>user\n"ALPHA?"<|im_end|>\n<|im_start|>assistant\n'
            '[["é \\"B\\"\\n🎉"<|im_end|>]]\n<|im_start|>user\n"GAMMA?"<|im_end|>\n<|im_start|>assistant\n'
            '[["DELTA."<|im_end|>]]\n',
        },
    ),
    "writes contents in capitals": OddTemplate(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | upper }}<|im_end|>\n{% endfor %}" + _OPEN,
        {"alpha?|beta.|gamma?|delta.": _CHATML_TWO},
    ),
    "turns the conversation round": OddTemplate(
        "{% for m in messages | reverse %}" + _TURN + "{% endfor %}" + _OPEN, {"two turns": _NOT_SHOWN}
    ),
    "writes the last two turns alone": OddTemplate(
        "{% for m in messages[-2:] %}" + _TURN + "{% endfor %}" + _OPEN,
        {
            "two turns": "(refused) The chat template leaves out turn 1, of role user.",
            "one turn": "<|im_start|>user\nALPHA?<|im_end|>\n<|im_start|>assistant\n[[BETA.<|im_end|>]]\n",
        },
    ),
    "drops all replies but the last": OddTemplate(
        "{% for m in messages %}{% if m.role != 'assistant' or loop.last %}"
        + _TURN
        + "{% endif %}{% endfor %}"
        + _OPEN,
        {"two turns": "(refused) The chat template leaves out turn 2, of role assistant."},
    ),
    "goes on past empty turns": OddTemplate(
        "{% for m in messages %}{% if not m.content %}{% continue %}{% endif %}" + _TURN + "{% endfor %}" + _OPEN,
        {
            "two turns": _CHATML_TWO,
            "empty reply in the middle": "<|im_start|>user\nALPHA?<|im_end|>\n<|im_start|>user\nGAMMA?<|im_end|>\n"
            "<|im_start|>assistant\n[[DELTA.<|im_end|>]]\n",
        },
    ),
    "stops at a word": OddTemplate(
        "{% for m in messages %}{% if m.content == 'GAMMA?' %}{% break %}{% endif %}" + _TURN + "{% endfor %}" + _OPEN,
        # The template looks at what the user says, so that only the reply's loss is seen.
        {"two turns": "(refused) The chat template leaves out turn 4, of role assistant."},
    ),
    "stops after two turns": OddTemplate(
        "{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}" + _TURN + "{% endfor %}" + _OPEN,
        {"two turns": "(refused) The chat template leaves out turn 3, of role user."},
    ),
    "picks turns by a filter of its loops": OddTemplate(
        "{% for m in messages if m.role == 'system' %}{{ m.content }}\n{% endfor %}"
        "{% for m in messages if m.role != 'system' %}" + _TURN + "{% endfor %}" + _OPEN,
        {"two turns": _CHATML_TWO, "system prompt and two turns": "SYS.\n" + _CHATML_TWO},
    ),
    "writes an empty thought in its own markup": OddTemplate(
        "{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>assistant\n"
        "<scratchpad>{{ m.reasoning_content or '' }}</scratchpad>\n{{ m.content }}<|im_end|>\n"
        "{% else %}" + _TURN + "{% endif %}{% endfor %}" + _OPEN,
        {
            "one turn": "<|im_start|>user\nALPHA?<|im_end|>\n<|im_start|>assistant\n<scratchpad></scratchpad>\n"
            "[[BETA.<|im_end|>]]\n",
            "separate thought": "<|im_start|>user\nALPHA?<|im_end|>\n<|im_start|>assistant\n"
            "[[<scratchpad>WHY.</scratchpad>\nBETA.<|im_end|>]]\n",
            "<b></b>|<i></i>BETA.": "<|im_start|>user\n<b></b><|im_end|>\n<|im_start|>assistant\n"
            "<scratchpad></scratchpad>\n[[<i></i>BETA.<|im_end|>]]\n",
        },
    ),
    "opens the next turn at the end of each": OddTemplate(
        "<|im_start|>{% for m in messages %}{{ m.role }}\n{{ m.content }}<|im_end|>"
        "{% if not loop.last %}<|im_start|>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        {
            "two turns": "<|im_start|>user\nALPHA?<|im_end|><|im_start|>assistant\n[[BETA.<|im_end|>]]"
            "<|im_start|>user\nGAMMA?<|im_end|><|im_start|>assistant\n[[DELTA.<|im_end|>]]",
        },
    ),
    "leaves the last turn open": OddTemplate(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% if not loop.last %}<|im_end|>\n{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}<|im_end|>\n<|im_start|>assistant\n{% endif %}",
        {
            "two turns": "<|im_start|>user\nALPHA?<|im_end|>\n<|im_start|>assistant\n[[BETA.<|im_end|>]]\n"
            "<|im_start|>user\nGAMMA?<|im_end|>\n<|im_start|>assistant\n[[DELTA.]]",
        },
    ),
    "takes contents in parts alone": OddTemplate(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for part in m.content %}"
        "{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}" + _OPEN,
        {"two turns": "(refused) The chat template leaves out turn 1, of role user."},
    ),
}
