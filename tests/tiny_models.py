"""Tiny real models for tests: transformers architectures of under 100,000 parameters with random weights by seed, and
a byte-level BPE tokenizer trained on a few lines, saved into a folder as their makers would save them."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from core.data.examples import Example, Message
from core.encoding.encoding_spec import EncodingSpec
from core.models.resolving import ModelSpec, hash_of_weights

BOS, EOS, PAD, TURN_START, TURN_END = "<s>", "</s>", "<pad>", "<|turn|>", "<|end|>"

_LINES = [
    "What is the capital of Iceland? The capital of Iceland is Reykjavik.",
    "### Instruction:\nName a river.\n\n### Response:\nThe river is the Thames.",
    "def add(first, second):\n    return first + second\n",
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.",
    "How many apples are there? There are 12 apples, and 7 of them are green.",
    "雷克雅未克是冰岛的首都。",
]

TURNS_TEMPLATE = (
    "{% for message in messages %}<|turn|>{{ message.role }}\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
"""ChatML's form: each turn has a header, an end-of-turn token, and a line break that belongs to nobody."""

_SHAPE = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "max_position_embeddings": 2048}
_MLP = {"intermediate_size": 64, "num_key_value_heads": 1}


def make_tokenizer(
    *,
    adds_bos: bool = True,
    pad: str | None = PAD,
    chat_template: str | None = TURNS_TEMPLATE,
    trim_offsets: bool = False,
    vocabulary_size: int = 400,
    end_of_turn_is_named: bool = True,
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer. `pad` may be `EOS`, or None for a tokenizer without one.

    `trim_offsets` leaves white space out of tokens' offsets, as GPT-NeoX's tokenizer does; without
    `end_of_turn_is_named` the template's tokens are special but not among the tokenizer's named ones, as in Gemma 3.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[BOS, EOS, PAD, TURN_START, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_LINES, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in (TURN_START, TURN_END)])
    steps: list[Any] = [processors.ByteLevel(trim_offsets=trim_offsets)]
    if adds_bos:
        steps.append(processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 0)]))
    tokenizer.post_processor = processors.Sequence(steps)
    named = {"additional_special_tokens": [TURN_START, TURN_END]} if end_of_turn_is_named else {}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=pad, **named)
    fast.chat_template = chat_template
    return fast


def make_model(family: str, seed: int = 0, vocabulary_size: int = 400) -> torch.nn.Module:
    """A random causal language model in float32; its weights are large enough for tokens' losses to differ."""
    torch.manual_seed(seed)
    specials = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
    common = {"vocab_size": vocabulary_size, "initializer_range": 0.2, **specials}
    llama = {**common, **_SHAPE, **_MLP}
    model: torch.nn.Module
    if family in ("llama", "llama-tied"):
        model = LlamaForCausalLM(LlamaConfig(**llama, tie_word_embeddings=family == "llama-tied"))
    elif family == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(**llama))
    elif family == "gemma2":
        caps = {"final_logit_softcapping": 2.0, "attn_logit_softcapping": 5.0, "sliding_window": 16}
        model = Gemma2ForCausalLM(Gemma2Config(**llama, **caps, head_dim=16, query_pre_attn_scalar=16))
    elif family == "gemma3":
        windows = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]}
        shape = {**windows, "head_dim": 16, "query_pre_attn_scalar": 16, "tie_word_embeddings": True}
        model = Gemma3ForCausalLM(Gemma3TextConfig(**llama, **shape))
    elif family == "mistral":
        model = MistralForCausalLM(MistralConfig(**llama, sliding_window=16))
    elif family == "mamba":
        model = MambaForCausalLM(MambaConfig(**common, num_hidden_layers=2, hidden_size=32, state_size=4))
    elif family == "granite":
        model = GraniteForCausalLM(GraniteConfig(**llama, logits_scaling=4.0))
    elif family == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(**common, n_layer=2, n_head=2, n_embd=32, n_positions=1024))
    else:
        raise ValueError(f"No tiny model of family {family!r}.")
    return model.eval()


FAMILIES = ("llama", "llama-tied", "qwen2", "gemma2", "gemma3", "mistral", "granite", "gpt2", "mamba")
"""Several key/value heads or one, tied embeddings and not, soft caps (gemma2), sliding windows of 16 (gemma2, gemma3,
mistral), scaled logits (granite), learned positions (gpt2), and a state that runs from token to token (mamba)."""


def save_model_folder(folder: Path, family: str = "llama", seed: int = 0, **tokenizer_options: Any) -> Path:
    """A model with its tokenizer, saved as safetensors; returns the folder."""
    make_model(family, seed, tokenizer_options.get("vocabulary_size", 400)).save_pretrained(folder)
    make_tokenizer(**tokenizer_options).save_pretrained(folder)
    return folder


def save_lora_adapter(folder: Path, base_folder: Path, seed: int = 1) -> Path:
    """A LoRA adapter of the base in `base_folder`, random instead of trained so that it changes every loss."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    base = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(base, config).save_pretrained(folder)
    return folder


def encoding_spec(template: str = "alpaca", max_length: int = 2048) -> EncodingSpec:
    """An encoding whose tokenizer is whichever the test passes along."""
    return EncodingSpec(template, max_length, "tiny tokenizer")


def example(*turns: tuple[str, str], tools: str = "") -> Example:
    """A conversation written as (role, content) pairs."""
    return Example(tuple(Message(role, content) for role, content in turns), tools)


MIXED_EXAMPLES = (
    example(("user", "Capital of Iceland?"), ("assistant", "Reykjavik")),
    example(("user", "Yes or no?"), ("assistant", "")),
    example(("system", "You are terse."), ("user", "Name a river."), ("assistant", "The Thames, in England.")),
    example(("user", "Count."), ("assistant", " ".join(str(number) for number in range(150)))),
    example(
        ("user", "How many apples?"),
        ("assistant", "There are 12."),
        ("user", "And green ones?"),
        ("assistant", "7 of them are green."),
        ("user", "Thanks!"),
        ("assistant", "You are welcome."),
    ),
    example(("user", "冰岛的首都是哪里?"), ("assistant", "雷克雅未克是冰岛的首都。")),
    example(
        ("user", "Write a function that adds."),
        ("assistant", "def add(one, other):\n    if one is None:\n\n        return 0\n    return one + other\n"),
    ),
    example(("user", "Cheer 🎉"), ("assistant", "Hooray 🎉🎉 👩‍👩‍👧 naïve")),
    example(("user", "Translate."), ("context", "Guten Morgen"), ("assistant", "Good morning")),
    example(("user", "Weather?"), ("assistant", "look()"), ("tool", "rain"), ("assistant", "It rains.")),
)
"""Short, empty, long, several turns, Chinese, code, emoji, context and tool roles."""


def spec_of(folder: Path, adapter: Path | None = None, label: str = "base") -> ModelSpec:
    """The resolved model of a folder, with its adapter's folder if it has one."""
    place = None if adapter is None else str(adapter)
    return ModelSpec(label, str(folder), place, hash_of_weights(folder, place))
