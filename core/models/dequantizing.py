"""De-quantizes the weights that a model's folder stores quantized, as they are loaded. Imports torch."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from .stored_layouts import QUANT_STATES, block_of, scheme_of
from .stored_quantization import method_of, quantization_of, stored_weights

Tensors = dict[str, torch.Tensor]


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
    whole = tensors["weight"].float()
    scales = tensors["weight_scale_inv"].float()
    if block := block_of(fields):
        scales = scales.repeat_interleave(block[0], 0)[: len(whole)].repeat_interleave(block[1], 1)[:, : whole.shape[1]]
    return whole * scales


def _compressed(tensors: Tensors, fields: dict[str, Any]) -> torch.Tensor:
    """As compressed-tensors does, in the type of the scales."""
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationScheme

    scheme = scheme_of(fields)
    compressor = BaseCompressor.get_value_from_registry(scheme.get("format") or fields["format"])
    whole: torch.Tensor = compressor.decompress(tensors, QuantizationScheme.model_validate(scheme))["weight"]
    return whole


_WHOLE: dict[str, Callable[[Tensors, dict[str, Any]], torch.Tensor]] = {
    "bitsandbytes": _bitsandbytes,
    "fp8": _fp8,
    "compressed-tensors": _compressed,
}
