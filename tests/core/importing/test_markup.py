"""A text in a known chat markup is read back into its turns, and prose that only looks like one is left alone."""

import pytest

from core.importing.markup import read_markup

TWO = [("user", "Hi"), ("assistant", "Ho"), ("user", "And?"), ("assistant", "Hum.\n\nHum.")]
BRIEF = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Ho")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>\n"
            "<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\nHum.\n\nHum.<|im_end|>\n",
            TWO,
        ),
        ("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo", BRIEF),
        (
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nHo<|eot_id|>",
            BRIEF,
        ),
        ("<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Ho </s>", BRIEF),
        ("<s>[INST] Hi [/INST] Ho </s><s>[INST] And? [/INST] Hum.\n\nHum. </s>", TWO),
        ("<s>[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT][INST]Hi[/INST]Ho</s>", BRIEF),
        (
            "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHo<end_of_turn>\n"
            "<start_of_turn>user\nAnd?<end_of_turn>\n<start_of_turn>model\nHum.\n\nHum.<end_of_turn>\n",
            TWO,
        ),
        ("<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\nHo</s>", BRIEF),
        ("<|user|>\nHi<|end|>\n<|assistant|>\nHo<|end|>\n<|endoftext|>", BRIEF[1:]),
        ("<|prompter|>Hi<|endoftext|><|assistant|>Ho<|endoftext|>", BRIEF[1:]),
        ("<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>Ho<｜end▁of▁sentence｜>", BRIEF[1:]),
        ("### Human: Hi### Assistant: Ho### Human: And?### Assistant: Hum.\n\nHum.", TWO),
        ("### User:\nHi\n\n### Assistant:\nHo", BRIEF[1:]),
        (
            "Below is an instruction that describes a task, paired with an input. Write a response.\n\n"
            "### Instruction:\nAdd.\n\n### Input:\n1, 2\n\n### Response:\n3</s>",
            [("user", "Add."), ("context", "1, 2"), ("assistant", "3")],
        ),
        ("\n\nHuman: Hi\n\nAssistant: Ho\n\nHuman: And?\n\nAssistant: Hum.\n\nHum.", TWO),
        ("Be brief. USER: Hi ASSISTANT: Ho</s>", BRIEF),
        (
            "USER: Hi\n\n\nASSISTANT: <call> {} <|endoftext|>\n\nFUNCTION RESPONSE: 7\n\n\nASSISTANT: Ho <|endoftext|>",
            [("user", "Hi"), ("assistant", "<call> {}"), ("tool", "7"), ("assistant", "Ho")],
        ),
        ("Q: Hi\nA: Ho", BRIEF[1:]),
        ("Question: Hi\nAnswer: Ho\nQ: is no turn", [("user", "Hi"), ("assistant", "Ho\nQ: is no turn")]),
    ],
)
def test_every_markup_gives_its_turns(text: str, expected: list[tuple[str, str]]) -> None:
    turns = read_markup(text)
    assert turns is not None
    assert [(turn.role, turn.content) for turn in turns] == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Once upon a time.",
        "He said: Human: is a word.",
        "<|im_start|>user\nHi<|im_end|>",
        "<|im_start|>user\nHi<|im_end|> lost words <|im_start|>assistant\nHo<|im_end|>",
        "<|im_start|>narrator\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>",
        "lost words <|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>",
        "### Assistant: Ho",
    ],
)
def test_a_text_without_a_whole_conversation_in_markup_has_no_turns(text: str) -> None:
    assert read_markup(text) is None
