"""Tokenizers of real model families for tests: each family's chat template as TRL ships it, its special tokens, and one
token a byte for the rest, so that a test sees every character by itself."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import trl
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

TEMPLATES = Path(trl.__file__).parent / "chat_templates"


@dataclass(frozen=True, slots=True)
class Family:
    """A family's tokenizer: `specials` are special tokens, `plain` are tokens that stand in the text like any other."""

    specials: tuple[str, ...]
    plain: tuple[str, ...] = ()
    bos: str | None = None
    eos: str | None = None
    adds_bos: bool = False

    def tokenizer(self, chat_template: str | None) -> PreTrainedTokenizerFast:
        """A tokenizer of bytes and of the family's own tokens."""
        alphabet = {byte: number for number, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
        tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in self.specials])
        tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in self.plain])
        if self.adds_bos:
            single = [(self.bos, tokenizer.token_to_id(self.bos))]
            tokenizer.post_processor = processors.TemplateProcessing(single=f"{self.bos} $A", special_tokens=single)
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=self.bos, eos_token=self.eos)
        fast.chat_template = chat_template
        return fast


def _words(*words: str) -> tuple[str, ...]:
    return tuple(token for word in words for token in word.split())


_CHATML = Family(_words("<|im_start|> <|im_end|> <|endoftext|>"), eos="<|im_end|>")
_THOUGHTS = _words("<think> </think>")
_CALLS = _words("<tool_call> </tool_call> <tool_response> </tool_response>")
_QWEN = replace(_CHATML, plain=(*_THOUGHTS, *_CALLS))
_DEEPSEEK = Family(
    _words("<｜begin▁of▁sentence｜> <｜end▁of▁sentence｜>"),
    _words(
        "<｜User｜> <｜Assistant｜> <think> </think> <｜tool▁sep｜>",
        "<｜tool▁calls▁begin｜> <｜tool▁calls▁end｜> <｜tool▁call▁begin｜> <｜tool▁call▁end｜>",
        "<｜tool▁outputs▁begin｜> <｜tool▁outputs▁end｜> <｜tool▁output▁begin｜> <｜tool▁output▁end｜>",
    ),
    bos="<｜begin▁of▁sentence｜>",
    eos="<｜end▁of▁sentence｜>",
    adds_bos=True,
)
_GEMMA = Family(_words("<bos> <eos> <start_of_turn> <end_of_turn>"), bos="<bos>", eos="<eos>", adds_bos=True)
_LLAMA = Family(
    _words(
        "<|begin_of_text|> <|end_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|> <|eom_id|> <|python_tag|>"
    ),
    bos="<|begin_of_text|>",
    eos="<|eot_id|>",
    adds_bos=True,
)
_PHI = Family(_words("<s> <|endoftext|> <|end|> <|user|> <|assistant|> <|system|>"), bos="<s>", eos="<|endoftext|>")
_COHERE = Family(
    _words(
        "<BOS_TOKEN> <|START_OF_TURN_TOKEN|> <|END_OF_TURN_TOKEN|>",
        "<|USER_TOKEN|> <|CHATBOT_TOKEN|> <|SYSTEM_TOKEN|> <|START_RESPONSE|> <|END_RESPONSE|>",
    ),
    bos="<BOS_TOKEN>",
    eos="<|END_OF_TURN_TOKEN|>",
    adds_bos=True,
)
_NEMOTRON = Family(_words("<s> </s> <|im_start|> <|im_end|>"), (*_THOUGHTS, *_CALLS), bos="<s>", eos="<|im_end|>")
_LFM = Family(
    _words(
        "<|startoftext|> <|im_start|> <|im_end|> <|endoftext|> <|tool_list_start|> <|tool_list_end|>",
        "<|tool_call_start|> <|tool_call_end|> <|tool_response_start|> <|tool_response_end|>",
    ),
    _THOUGHTS,
    bos="<|startoftext|>",
    eos="<|im_end|>",
    adds_bos=True,
)

FAMILIES = {
    "cohere": _COHERE,
    "cohere2": _COHERE,
    "deepseek_r1_distill": _DEEPSEEK,
    "deepseekv3": _DEEPSEEK,
    "gemma": _GEMMA,
    "gemma3": _GEMMA,
    "gemma4": Family(
        _words(
            "<bos> <eos> <|turn> <turn|> <|think|> <|channel> <channel|> <|tool> <tool|>",
            '<|tool_call> <tool_call|> <|tool_response> <tool_response|> <|"|>',
        ),
        bos="<bos>",
        eos="<eos>",
        adds_bos=True,
    ),
    "glm4moe": Family(
        _words("<|endoftext|> [gMASK] <sop> <|system|> <|user|> <|assistant|> <|observation|>"),
        (*_THOUGHTS, *_CALLS, *_words("<arg_key> </arg_key> <arg_value> </arg_value>")),
        eos="<|endoftext|>",
    ),
    "gptoss": Family(
        _words(
            "<|startoftext|> <|endoftext|> <|return|> <|start|> <|end|> <|message|> <|channel|> <|call|> <|constrain|>"
        ),
        bos="<|startoftext|>",
        eos="<|return|>",
    ),
    "lfm2": _LFM,
    "lfm2_v2": _LFM,
    "lfm2_2_5": _LFM,
    "lfm2_2_5_v2": _LFM,
    "llama3": _LLAMA,
    "llama3_1": _LLAMA,
    "llama3_2": _LLAMA,
    "muse_glimmer": Family(
        _words("<|begin_of_text|> <|start|> <|message|> <|eot|> <|eom|>"), bos="<|begin_of_text|>", eos="<|eot|>"
    ),
    "nemotron_3_nano": _NEMOTRON,
    "nemotron_3_super": _NEMOTRON,
    "phi3": _PHI,
    "phi3_5": _PHI,
    "qwen2_5": _QWEN,
    "qwen2_5_vl": _QWEN,
    "qwen3": _QWEN,
    "qwen3_vl": _QWEN,
    "qwen3_instruct_2507": _QWEN,
    "qwen3_5_think": _QWEN,
    "qwen3_5_nothink": _QWEN,
    "qwen3_6": _QWEN,
    "qwen3_8": _QWEN,
}
"""By the name of the file in which TRL ships the family's template."""


def template_text(name: str) -> str:
    """The text of a template that TRL ships."""
    return (TEMPLATES / f"{name}.jinja").read_text()


@cache
def family_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """A family's tokenizer, built once."""
    return FAMILIES[name].tokenizer(template_text(name))
