"""Splits a text that holds a whole conversation into turns, by its chat markup."""

import re
from dataclasses import dataclass

from ..data.examples import Message
from .roles import ROLE_OF

_BEGINS = re.compile(r"\s*(?:<s>|<bos>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>|<BOS_TOKEN>|\[gMASK\]|<sop>)*\s*")
_ENDS = re.compile(
    r"</s>|<eos>|<\|endoftext\|>|<\|end_of_text\|>|<\|im_end\|>|<\|eot_id\|>|<\|eom_id\|>|<\|end\|>|<end_of_turn>|<turn\|>"
    r"|<｜end▁of▁sentence｜>|<\|END_OF_TURN_TOKEN\|>"
)
_SYS = re.compile(r"\s*<<SYS>>\n?(.*?)\n?<</SYS>>\n*", re.DOTALL)
_ALPACA_HEAD = "Below is an instruction that describes a task"

_ROLES = ROLE_OF | {
    "[inst]": "user", "[/inst]": "assistant", "[system_prompt]": "system", "[/system_prompt]": "",
    "chatbot": "assistant", "instruction": "user", "question": "user", "prompt": "user", "q": "user",
    "input": "context",
    "response": "assistant", "answer": "assistant", "output": "assistant", "a": "assistant",
    "function response": "tool", "environment": "tool",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Markup:
    """A kind of markup: the pattern that begins a turn (its group is the role), and whether turns are stripped.

    `lead` allows text before the first turn, which is then the system prompt.
    """

    name: str
    head: re.Pattern[str]
    is_stripped: bool = False
    lead: bool = False


MARKUPS = (
    Markup("ChatML", re.compile(r"<\|im_start\|>(\w+)\n")),
    Markup("Llama 3", re.compile(r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n*")),
    Markup("Gemma", re.compile(r"<start_of_turn>(\w+)\n|<\|turn>(\w+)\n")),
    Markup("DeepSeek", re.compile(r"<｜(User|Assistant|System)｜>")),
    Markup("Command R", re.compile(r"<\|START_OF_TURN_TOKEN\|><\|(USER|CHATBOT|SYSTEM)_TOKEN\|>")),
    Markup("Zephyr or Phi", re.compile(r"<\|(system|user|assistant|prompter|human|bot|observation|tool)\|>\n?")),
    Markup("Llama 2 or Mistral", re.compile(r"(\[/?INST\]|\[/?SYSTEM_PROMPT\])"), is_stripped=True),
    *(
        Markup(f"### {names[0]}", re.compile(rf"###\s?({'|'.join(names)})\s*(?::|(?=\n))"), is_stripped=True, lead=True)
        for names in (
            ("Human", "Assistant", "System"),
            ("User", "Assistant", "System"),
            ("Instruction", "Input", "Response", "System"),
            ("Question", "Answer", "System"),
            ("Input", "Output"),
        )
    ),
    Markup(
        "USER and ASSISTANT",
        re.compile(r"(?:^|(?<=[\s>]))(USER|ASSISTANT|SYSTEM|FUNCTION RESPONSE): ?"),
        is_stripped=True,
        lead=True,
    ),
    *(
        Markup(f"{names[0]}:", re.compile(rf"^[ \t]*({'|'.join(names)}):", re.MULTILINE), is_stripped=True)
        for names in (
            ("Human", "Assistant", "AI", "System"),
            ("User", "Assistant", "AI", "Bot", "System"),
            ("Question", "Answer"),
            ("Instruction", "Response"),
            ("Q", "A"),
        )
    ),
)
"""Known kinds, the least ambiguous first: special tokens, then words."""


def read_markup(text: str) -> list[Message] | None:
    """The turns of a text, or None if its markup is unknown or it has text outside of the turns."""
    begin = _BEGINS.match(text)
    start = begin.end() if begin else 0
    for markup in MARKUPS:
        heads = list(markup.head.finditer(text, start))
        if heads:
            turns = _turns(markup, text, start, heads)
            speakers = {turn.role for turn in turns or []}
            if turns and "assistant" in speakers and speakers & {"user", "context"}:
                return turns
    return None


def _turns(markup: Markup, text: str, start: int, heads: list[re.Match[str]]) -> list[Message] | None:
    lead = text[start : heads[0].start()].strip()
    if lead and not markup.lead:
        return None
    turns = [Message("system", lead)] if lead and not lead.startswith(_ALPACA_HEAD) else []
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        role = _ROLES.get(next(group for group in head.groups() if group).lower())
        said = text[head.end() : following.start() if following else len(text)]
        end = _ENDS.search(said)
        rest = _BEGINS.sub("", _ENDS.sub("", said[end.end() :])).strip() if end else ""
        if role is None or rest:
            return None
        said = said[: end.start()] if end else said.removesuffix("\n")
        system = _SYS.match(said)
        if system and role == "user":
            turns.append(Message("system", system[1]))
            said = said[system.end() :]
        said = said.strip() if markup.is_stripped else said
        if role and (said or following):
            turns.append(Message(role, said))
    return turns
