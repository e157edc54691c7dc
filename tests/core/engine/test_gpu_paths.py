"""Paths only, values unchecked: the engine as it runs on a GPU, by fake tensors. Everything lies on one device, kernels
get what they take, and a batch is computed without waiting for the GPU on the way.

Fake tensors agree with everything, so the engine takes each path that it tries. That it leaves a path whose values
differ is tested on real tensors: in test_response_loss.py, test_matrix_products.py and, on a GPU, test_real_gpu.py.
"""

import pytest
import torch

from core.data.encoded import Encoded
from core.encoding.encode import encode_examples
from core.engine.loss_engine import EngineOptions, LossEngine
from core.engine.response_loss import ResponseScorer, measure_noise
from tests.fake_gpu import fake_gpu, moved
from tests.tiny_models import MIXED_EXAMPLES, encoding_spec, make_model, make_tokenizer

RUNS = "packed, prefix sharing, variable-length attention"
SIDE_BY_SIDE = "packed, prefix sharing; head"


@pytest.fixture(scope="module")
def rows() -> list[Encoded]:
    encoded = encode_examples(MIXED_EXAMPLES[:5], make_tokenizer(), encoding_spec("alpaca"))
    return [row for row in encoded if row.reason is None]


@pytest.mark.parametrize(
    ("family", "dtype", "options", "expected"),
    [
        ("llama", torch.bfloat16, EngineOptions(), RUNS),
        ("gemma3", torch.bfloat16, EngineOptions(), RUNS),  # sliding windows, a scale of its own
        ("gpt2", torch.float16, EngineOptions(), RUNS),  # as many key heads as heads
        ("llama", torch.float32, EngineOptions(), SIDE_BY_SIDE),
        ("gemma3", torch.bfloat16, EngineOptions(varlen=False), SIDE_BY_SIDE),
        ("gemma2", torch.bfloat16, EngineOptions(), "padded batches (its attention is soft-capped)"),
        ("llama", torch.bfloat16, EngineOptions(packed=False, tiled=False), "padded batches (disabled)"),
    ],
)
def test_paths_only_a_batch_lies_on_one_device_and_waits_for_it_once(
    rows: list[Encoded], family: str, dtype: torch.dtype, options: EngineOptions, expected: str
) -> None:
    model = make_model(family).to(dtype)
    with fake_gpu() as gpu:
        engine = LossEngine(moved(model), options)
        assert expected in engine.path
        gpu.looks = 0
        batches = list(ResponseScorer([engine], 300).losses(rows))
        assert sum(len(batch.rows) for batch in batches) == len(rows)
        assert gpu.looks == len(batches), "only the sums of a batch are looked at"
        assert len(engine.token_losses(rows[0])) == rows[0].token_count
        assert measure_noise(engine, rows) == 0.0


@pytest.mark.parametrize(("dtype", "into_float32"), [(torch.bfloat16, True), (torch.float32, False)])
def test_paths_only_the_head_multiplies_half_precision_into_float32(
    rows: list[Encoded], dtype: torch.dtype, into_float32: bool
) -> None:
    model = make_model("llama").to(dtype)
    with fake_gpu() as gpu:
        LossEngine(moved(model)).nll_sums(rows)
    assert (torch.ops.aten.mm.dtype in gpu.called) == into_float32


def test_paths_only_base_and_adapter_on_one_set_of_weights_lie_on_one_device(rows: list[Encoded]) -> None:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    both = get_peft_model(make_model("llama"), config).to(torch.bfloat16).eval()
    with fake_gpu() as gpu:
        moved(both)
        engines = [LossEngine(both, without_adapter=True), LossEngine(both)]
        assert all(RUNS in engine.path for engine in engines)
        gpu.looks = 0
        batches = list(ResponseScorer(engines, 300).losses(rows))
        assert gpu.looks == 2 * len(batches)
