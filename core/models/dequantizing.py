"""De-quantizes the weights that a model's folder stores quantized, as they are loaded. Imports torch."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from .stored_layouts import QUANT_STATES, LayoutRefused, adds_to_zeros, block_of, group_size, scheme_of
from .stored_quantization import method_of, quantization_of, stored_weights

Tensors = dict[str, torch.Tensor]
_AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
"""Where in a word the numbers of eight neighbouring rows are."""


def dequantized_weights(config: dict[str, Any], files: Sequence[Path], dtype: torch.dtype) -> Tensors:
    """A model's weights by their names, quantized ones as whole ones in `dtype`, others as they are stored.

    config: the model's, which must have passed `check_method`. What a weight is comes from its method's library, or
    from the formula that the method is defined by. Raises `ModelUnusable` if its tensors do not fit each other.
    """
    weights, others = stored_weights(config, files)
    whole = _WHOLE[str(method_of(config))]
    found: Tensors = {}
    with ExitStack() as stack:
        opened = [stack.enter_context(safe_open(path, framework="pt")) for path in files]
        file_of = {name: file for file in opened for name in list(file.keys())}
        for weight in weights:
            names = {ending: f"{weight.module}.{ending}" for ending in weight.tensors}
            tensors = {ending: file_of[name].get_tensor(name) for ending, name in names.items()}
            found[weight.name] = whole(tensors, quantization_of(config)).to(dtype)
        found |= {name: file_of[name].get_tensor(name) for name in others}
    return found


def _bitsandbytes(tensors: Tensors, fields: dict[str, Any]) -> torch.Tensor:
    """As bitsandbytes does before a product, in the type that the weights had before they were quantized."""
    from bitsandbytes.functional import QuantState, dequantize_4bit, int8_vectorwise_dequant

    whole: torch.Tensor
    if "SCB" in tensors:
        whole = int8_vectorwise_dequant(tensors["weight"], tensors["SCB"])
        return whole
    packed = tensors.pop("weight")
    # The state's own tensor is the only one whose name it takes whole.
    stats = {ending if ending in QUANT_STATES else ending.removeprefix("weight."): tensor
             for ending, tensor in tensors.items()}  # fmt: skip
    whole = dequantize_4bit(packed, QuantState.from_dict(stats, torch.device("cpu")))
    return whole


def _fp8(tensors: Tensors, fields: dict[str, Any]) -> torch.Tensor:
    """Each block times its scale, as DeepSeek-V3's `weight_dequant`; the last block of a row or column may be cut off.

    transformers' own conversion refuses such blocks, or takes equal ones of another size.
    """
    whole, scales = tensors["weight"].float(), tensors["weight_scale_inv"].float()
    if block := block_of(fields):
        for dimension, size in enumerate(whole.shape):
            # A block may be larger than the weight.
            scales = scales.repeat_interleave(min(block[dimension], size), dimension).narrow(dimension, 0, size)
    return whole * scales


def _compressed(tensors: Tensors, fields: dict[str, Any]) -> torch.Tensor:
    """As compressed-tensors does in the type of the scales, which is float32 here: half precision would round twice."""
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationScheme

    scheme = scheme_of(fields)
    tensors = tensors | {"weight_scale": tensors["weight_scale"].float()}
    compressor = BaseCompressor.get_value_from_registry(scheme.get("format") or fields["format"])
    whole: torch.Tensor = compressor.decompress(tensors, QuantizationScheme.model_validate(scheme))["weight"]
    return whole


def _gptq(tensors: Tensors, fields: dict[str, Any]) -> torch.Tensor:
    """Each number less its group's zero point, times its scale. Source: `dequantize_weight` of gptqmodel."""
    bits, scales = fields["bits"], tensors["scales"].float()
    numbers = _numbers(tensors["qweight"], bits).transpose(1, 2).flatten(0, 1)
    zeros = _numbers(tensors["qzeros"], bits).flatten(1)[:, : numbers.shape[1]]
    if adds_to_zeros(fields):
        zeros = (zeros + 1) & (2**bits - 1)
    group = tensors.get("g_idx", _groups(len(numbers), fields))
    if int(group.min()) < 0 or int(group.max()) >= len(scales):
        raise LayoutRefused("its g_idx names a group that is not there")
    return ((numbers - zeros[group]) * scales[group]).T


def _awq(tensors: Tensors, fields: dict[str, Any]) -> torch.Tensor:
    """The same; words have an order of their own. Source: `dequantize_gemm` of AutoAWQ."""
    numbers, zeros = (_numbers(tensors[name], 4)[..., _AWQ_ORDER].flatten(1) for name in ("qweight", "qzeros"))
    group = _groups(len(numbers), fields)
    return ((numbers - zeros[group]) * tensors["scales"].float()[group]).T


def _numbers(words: torch.Tensor, bits: int) -> torch.Tensor:
    """The numbers in words of 32 bits, the lowest bits first, along a new last dimension."""
    return torch.stack([(words >> place) & (2**bits - 1) for place in range(0, 32, bits)], -1)


def _groups(columns: int, fields: dict[str, Any]) -> torch.Tensor:
    """The group of each column of a whole weight."""
    return torch.arange(columns) // group_size(fields, columns)


_WHOLE: dict[str, Callable[[Tensors, dict[str, Any]], torch.Tensor]] = {
    "bitsandbytes": _bitsandbytes,
    "fp8": _fp8,
    "compressed-tensors": _compressed,
    "gptq": _gptq,
    "awq": _awq,
}
