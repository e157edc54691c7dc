"""How each method of quantization stores a weight: the names of its tensors, and the shape of the whole weight, which
those of all its tensors must fit."""

import json
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .weight_files import StoredTensor

Shape = tuple[int, ...]
Tensors = Mapping[str, StoredTensor]
_BYTES = {"U8": 1, "I8": 1, "F16": 2, "BF16": 2, "F32": 4}
_FLOATS = ("F32", "F16", "BF16")
_BLOCK_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
_LARGEST_SIZE = 2**31
QUANT_STATES = ("weight.quant_state.bitsandbytes__nf4", "weight.quant_state.bitsandbytes__fp4")
"""Where bitsandbytes keeps the shape of a weight of 4 bits, its block size and its type, as JSON."""


class LayoutRefused(ValueError):
    """What does not fit, or is not supported, as the part of a sentence."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A method's form of storage.

    package: that its de-quantization needs, if any. endings: of the names of a quantized weight's tensors, after its
    module's. contents: those of them whose content `whole_shape` reads. of_activations: last parts of the names of
    tensors that quantize activations, which are left out. check_fields: raises `LayoutRefused` for a config that is not
    read. whole_shape: of a weight, from its tensors, contents and the config; raises `LayoutRefused`, or `KeyError` for
    a tensor that is missing.
    """

    package: str | None
    endings: tuple[str, ...]
    contents: tuple[str, ...]
    of_activations: tuple[str, ...]
    check_fields: Callable[[dict[str, Any]], None]
    whole_shape: Callable[[Tensors, Mapping[str, bytes], dict[str, Any]], Shape]


def _need(tensors: Tensors, ending: str, dtypes: tuple[str, ...], *shapes: Shape) -> Shape:
    """The shape of a tensor, which must be one of the given ones, if any are. Raises `LayoutRefused`."""
    dtype, shape = tensors[ending]
    if dtype not in dtypes:
        raise LayoutRefused(f"its {ending} has the dtype {dtype}")
    if shapes and shape not in shapes:
        raise LayoutRefused(f"its {ending} has the shape {shape}, not {shapes[0]}")
    return shape


def _matrix(tensors: Tensors, ending: str, dtypes: tuple[str, ...]) -> tuple[int, int]:
    shape = _need(tensors, ending, dtypes)
    if len(shape) != 2:
        raise LayoutRefused(f"its {ending} has the shape {shape}, which is no matrix")
    return shape[0], shape[1]


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value < _LARGEST_SIZE


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_size, value))


# bitsandbytes


def _bitsandbytes(tensors: Tensors, contents: Mapping[str, bytes], fields: dict[str, Any]) -> Shape:
    """Source: `Linear8bitLt._save_to_state_dict` and `QuantState.as_dict` of bitsandbytes 0.50."""
    if "SCB" in tensors:
        rows, columns = _matrix(tensors, "weight", ("I8",))
        _need(tensors, "SCB", ("F32",), (rows,))
        # Others are the orders of columns in which early versions stored weights for one kind of GPU.
        if any(contents.get("weight_format", b"")):
            raise LayoutRefused("its columns are in an order that is no longer read")
        return rows, columns
    state = next((name for name in QUANT_STATES if name in tensors), QUANT_STATES[0])
    told = json.loads(contents[state])
    shape, block = told["shape"], told["blocksize"]
    if not _is_pair(shape) or block not in _BLOCK_SIZES:
        raise LayoutRefused("its shape or block size is not possible")
    if told["quant_type"] != state[-3:] or told["dtype"] not in ("float16", "bfloat16", "float32"):
        raise LayoutRefused("its type is unknown")
    count = math.prod(shape)
    packed = math.prod(_need(tensors, "weight", tuple(_BYTES))) * _BYTES[tensors["weight"][0]]
    if packed != -(-count // 2):
        raise LayoutRefused(f"it has {packed:,} bytes for {count:,} numbers of 4 bits")
    _need(tensors, "weight.quant_map", ("F32",), (16,))
    scales = -(-count // block)
    if "weight.nested_absmax" not in tensors:
        _need(tensors, "weight.absmax", ("F32",), (scales,))
        return shape[0], shape[1]
    _need(tensors, "weight.absmax", ("U8",), (scales,))
    if told["nested_blocksize"] not in _BLOCK_SIZES or told["nested_dtype"] != "float32":
        raise LayoutRefused("the blocks of its scales are not possible")
    _need(tensors, "weight.nested_absmax", ("F32",), (-(-scales // told["nested_blocksize"]),))
    _need(tensors, "weight.nested_quant_map", ("F32",), (256,))
    return shape[0], shape[1]


def _any_fields(fields: dict[str, Any]) -> None:
    """Each weight says all that is needed to read it."""


# FP8 in blocks, as DeepSeek and Qwen publish it


def block_of(fields: dict[str, Any]) -> tuple[int, int] | None:
    """Rows and columns of a block that shares a scale; None if a weight has one scale."""
    block = fields.get("weight_block_size", (128, 128))
    return (int(block[0]), int(block[1])) if block else None


def _check_fp8(fields: dict[str, Any]) -> None:
    block = fields.get("weight_block_size")
    if block is not None and not _is_pair(block):
        raise LayoutRefused(f"blocks of {str(block)[:40]}")


def _fp8(tensors: Tensors, contents: Mapping[str, bytes], fields: dict[str, Any]) -> Shape:
    """Source: `FineGrainedFP8Config` of transformers 5.23."""
    shape = _matrix(tensors, "weight", ("F8_E4M3", "F8_E5M2"))
    block = block_of(fields)
    grid = ((-(-shape[0] // block[0]), -(-shape[1] // block[1])),) if block else ((), (1,), (1, 1))
    _need(tensors, "weight_scale_inv", (*_FLOATS, "F8_E8M0"), *grid)
    return shape


# compressed-tensors

_FORMATS = ("float-quantized", "int-quantized", "naive-quantized", "pack-quantized")


def _check_compressed(fields: dict[str, Any]) -> None:
    groups = fields.get("config_groups")
    schemes = list(groups.values()) if isinstance(groups, dict) else []
    if not schemes or not all(isinstance(each, dict) and isinstance(each.get("weights"), dict) for each in schemes):
        raise LayoutRefused("a group of layers without a scheme for their weights")
    weights = schemes[0]["weights"]
    formats = {str(each.get("format") or fields.get("format")) for each in schemes}
    if any(each["weights"] != weights for each in schemes) or len(formats) > 1:
        raise LayoutRefused("several schemes for its weights")
    if not formats <= set(_FORMATS):
        raise LayoutRefused(f"the format {min(formats)[:40]}")
    sparsity = fields.get("sparsity_config") or {}
    is_dense = isinstance(sparsity, dict) and sparsity.get("format", "dense") == "dense"
    if fields.get("transform_config") or not is_dense:
        raise LayoutRefused("transformed or sparse weights")
    strategy = _strategy(weights)
    fits = {
        "tensor": True,
        "channel": True,
        "group": _is_size(weights.get("group_size")),
        "block": _is_pair(weights.get("block_structure")),
    }
    if not (_is_size(weights.get("num_bits")) and weights["num_bits"] <= 8 and fits.get(strategy)):
        raise LayoutRefused(f"weights of {str(weights.get('num_bits'))[:40]} bits by {strategy[:40]}")


def scheme_of(fields: dict[str, Any]) -> dict[str, Any]:
    """The scheme of the weights, once the config was checked: all groups have the same."""
    scheme: dict[str, Any] = next(iter(fields["config_groups"].values()))
    return scheme


def _strategy(weights: dict[str, Any]) -> str:
    """Source: `QuantizationArgs.validate_model_after` of compressed-tensors 0.20."""
    group = weights.get("group_size")
    return str(weights.get("strategy") or ("tensor" if group is None else "channel" if group == -1 else "group"))


def _compressed(tensors: Tensors, contents: Mapping[str, bytes], fields: dict[str, Any]) -> Shape:
    """Source: `NaiveQuantizationCompressor` and `PackedQuantizationCompressor` of compressed-tensors 0.20."""
    weights = scheme_of(fields)["weights"]
    is_packed = "weight_packed" in tensors
    if is_packed:
        bits = weights["num_bits"]
        _need(tensors, "weight_shape", ("I64", "I32"), (2,))
        rows, columns = struct.unpack("<2q" if tensors["weight_shape"][0] == "I64" else "<2i", contents["weight_shape"])
        if not (_is_size(rows) and _is_size(columns)):
            raise LayoutRefused("its shape is not possible")
        _need(tensors, "weight_packed", ("I32",), (rows, -(-columns * bits // 32)))
    else:
        rows, columns = _matrix(tensors, "weight", ("F8_E4M3", "I8"))
    block = weights.get("block_structure") or (1, 1)
    shapes: dict[str, tuple[Shape, ...]] = {
        "tensor": ((1,), (), (1, 1)),
        "channel": ((rows, 1), (rows,)),
        "group": ((rows, -(-columns // (weights.get("group_size") or 1))),),
        "block": ((-(-rows // block[0]), -(-columns // block[1])),),
    }
    scales = _need(tensors, "weight_scale", _FLOATS, *shapes[_strategy(weights)])
    if "weight_zero_point" in tensors:
        packed = (-(-rows * weights["num_bits"] // 32), scales[-1] if len(scales) == 2 else 1)
        _need(tensors, "weight_zero_point", ("I32",) if is_packed else ("I8", "F8_E4M3", *_FLOATS),
              packed if is_packed else scales)  # fmt: skip
    elif weights.get("symmetric") is False:
        raise KeyError("weight_zero_point")
    return rows, columns


# GPTQ and AWQ


def group_size(fields: dict[str, Any], columns: int) -> int:
    """How many columns of a row share a scale."""
    size = fields.get("group_size", fields.get("q_group_size", 128))
    return columns if size == -1 else int(size)


def adds_to_zeros(fields: dict[str, Any]) -> bool:
    """Whether zero points are stored one lower, as in the first version of GPTQ's format."""
    return bool(fields.get("checkpoint_format") != "gptq_v2")


def _check_gptq(fields: dict[str, Any]) -> None:
    if fields.get("checkpoint_format") not in (None, "gptq", "gptq_v2"):
        raise LayoutRefused(f"the format {str(fields['checkpoint_format'])[:40]}")
    if fields.get("bits") not in (2, 4, 8):
        raise LayoutRefused(f"weights of {str(fields.get('bits'))[:40]} bits")
    _check_group(fields)


def _check_awq(fields: dict[str, Any]) -> None:
    if str(fields.get("version", "gemm")).lower() != "gemm":
        raise LayoutRefused(f"the format {str(fields['version'])[:40]}")
    if fields.get("bits", fields.get("w_bit")) != 4:
        raise LayoutRefused("weights that do not have 4 bits")
    if not fields.get("zero_point", True):
        raise LayoutRefused("weights without zero points")
    _check_group(fields)


def _check_group(fields: dict[str, Any]) -> None:
    size = fields.get("group_size", fields.get("q_group_size", 128))
    if size != -1 and not _is_size(size):
        raise LayoutRefused(f"groups of {str(size)[:40]} weights")


def _gptq(tensors: Tensors, contents: Mapping[str, bytes], fields: dict[str, Any]) -> Shape:
    """Words hold weights of one row of the whole weight, a column of `qweight`. Source: `pack_block` of gptqmodel."""
    words, rows = _matrix(tensors, "qweight", ("I32",))
    columns = words * 32 // fields["bits"]
    groups = -(-columns // group_size(fields, columns))
    if "g_idx" in tensors:
        _need(tensors, "g_idx", ("I32",), (columns,))
    _need(tensors, "scales", _FLOATS, (groups, rows))
    _need(tensors, "qzeros", ("I32",), (groups, -(-rows * fields["bits"] // 32)))
    return rows, columns


def _awq(tensors: Tensors, contents: Mapping[str, bytes], fields: dict[str, Any]) -> Shape:
    """Words hold weights of eight rows of the whole weight. Source: `WQLinear_GEMM` of AutoAWQ."""
    columns, words = _matrix(tensors, "qweight", ("I32",))
    groups = -(-columns // group_size(fields, columns))
    _need(tensors, "scales", _FLOATS, (groups, 8 * words))
    _need(tensors, "qzeros", ("I32",), (groups, words))
    return 8 * words, columns


LAYOUTS = {
    "bitsandbytes": Layout(
        "bitsandbytes",
        ("weight.absmax", "weight.quant_map", "weight.nested_absmax", "weight.nested_quant_map", *QUANT_STATES, "SCB",
         "weight_format"),
        (*QUANT_STATES, "weight_format"),
        (),
        _any_fields,
        _bitsandbytes,
    ),
    "fp8": Layout(None, ("weight_scale_inv",), (), ("activation_scale", "input_scale"), _check_fp8, _fp8),
    "compressed-tensors": Layout(
        "compressed_tensors",
        ("weight_packed", "weight_scale", "weight_zero_point", "weight_shape"),
        ("weight_shape",),
        ("input_scale", "input_zero_point", "output_scale", "output_zero_point", "q_scale", "k_scale", "v_scale"),
        _check_compressed,
        _compressed,
    ),
    "gptq": Layout(None, ("qweight", "qzeros", "scales", "g_idx"), (), (), _check_gptq, _gptq),
    "awq": Layout(None, ("qweight", "qzeros", "scales"), (), (), _check_awq, _awq),
}  # fmt: skip
"""By the name that a config gives the method (`quant_method`)."""
