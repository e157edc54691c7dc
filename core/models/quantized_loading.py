"""Has transformers quantize weights as it loads them, by bitsandbytes, an optional package. Imports torch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from transformers import BitsAndBytesConfig

from .quantizing import check_quantization

_LARGEST_INT8 = 127


def quantized_as(kind: str, dtype: torch.dtype, device: str) -> dict[str, Any]:
    """Arguments with which transformers quantizes a model as it loads it onto the device; dtype: that of its products.

    Raises `ModelUnusable` as `check_quantization` does.
    """
    check_quantization(kind)
    if kind == "int8":
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_compute_dtype=dtype)
    return {"quantization_config": config, "device_map": {"": device}}


def with_exact_products(model: Any) -> Any:
    """The model, its quantized layers multiplying by their de-quantized weights, in the type of the states.

    bitsandbytes' own int8 product rounds the states too, by what else is in the batch, so that a row's losses would
    depend on the rows beside it; on a CPU, its nf4 product rounds them to bfloat16. In training, backward de-quantizes
    the weights again instead of keeping them.
    """
    from bitsandbytes.nn import Linear4bit, Linear8bitLt

    for part in model.modules():
        if isinstance(part, Linear4bit):
            part.forward = partial(_product, part, _weight_of_4_bits)
        elif isinstance(part, Linear8bitLt):
            part.forward = partial(_product, part, _weight_of_8_bits)
    return model


def _product(layer: Any, weight_of: Callable[[Any], torch.Tensor], states: torch.Tensor) -> torch.Tensor:
    product: torch.Tensor = _Product.apply(states, layer, weight_of)  # type: ignore[no-untyped-call]
    return product


class _Product(torch.autograd.Function):
    """A layer's product by its de-quantized weight. Weight and bias have no gradient of their own."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, layer: Any, weight_of: Callable[[Any], torch.Tensor]) -> torch.Tensor:
        ctx.weight = partial(weight_of, layer)
        return F.linear(states, ctx.weight().to(states.dtype), layer.bias)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return gradient @ ctx.weight().to(gradient.dtype), None, None


def _weight_of_4_bits(layer: Any) -> torch.Tensor:
    from bitsandbytes.functional import dequantize_4bit

    weight: torch.Tensor = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    return weight


def _weight_of_8_bits(layer: Any) -> torch.Tensor:
    weight: torch.Tensor = layer.weight.data * (layer.weight.SCB / _LARGEST_INT8).view(-1, 1)
    return weight
