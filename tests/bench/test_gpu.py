"""The GPU benchmark itself, on whatever device there is: a tiny model goes through all that a large one does."""

import torch

from bench.gpu import TINY, measure, models_to_measure, table


def test_a_tiny_model_is_measured_and_shown_with_its_figures() -> None:
    found = measure([], minutes=1, tiny=True)
    row = found["models"]["Llama's form, tiny, random weights"]
    assert row["tokens"] > 0
    assert row["tokens_per_second"] > 0
    assert 0 <= row["from_float32"]["mean"] <= row["from_float32"]["worst"] < 0.1, "bfloat16 is near float32"
    assert f"{row['tokens_per_second']:,.0f}" in table(found)


def test_models_that_the_time_does_not_suffice_for_are_named() -> None:
    found = measure([], minutes=0, tiny=True)
    assert not found["models"]
    assert "Left out for want of time: Llama's form, tiny, random weights." in table(found)


def test_what_is_made_after_a_models_weights_lies_in_the_main_memory() -> None:
    (load,) = models_to_measure(TINY, [], "meta").values()
    assert {parameter.device.type for parameter in load().parameters()} == {"meta"}
    assert torch.zeros(0).device.type == "cpu"
