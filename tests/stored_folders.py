"""Model folders whose weights are stored quantized, and the whole weights of each by hand from what is stored."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

BITSANDBYTES = ("nf4", "fp4", "int8")
COMPRESSED = ("float", "int8-rows", "int4", "int4-shifted")
IN_WORDS = ("gptq", "awq")
KINDS = (*BITSANDBYTES, "fp8", *COMPRESSED, *IN_WORDS)
FP8_BLOCK = (96, 80)
"""No divisor of any size of the model, so that the last blocks are cut off."""
_GROUP = 32
Tensors = dict[str, torch.Tensor]


def save_stored(folder: Path, base: Path, kind: str) -> Path:
    """Write the model in `base` with all linear layers but the head stored in one of `KINDS`; returns the folder."""
    shutil.copytree(base, folder)
    if kind in BITSANDBYTES:
        _save_bitsandbytes(folder, base, kind)
        return folder
    whole = load_file(base / "model.safetensors")
    stored: Tensors = {}
    for name, weight in whole.items():
        if name.endswith("_proj.weight"):
            parts = _stored(weight, kind)
            stored |= {f"{name.removesuffix('weight')}{ending}": tensor for ending, tensor in parts.items()}
        else:
            stored[name] = weight
    save_file({name: tensor.contiguous() for name, tensor in stored.items()}, folder / "model.safetensors")
    edit_quantization(folder, **_fields(kind))
    return folder


def edit_quantization(folder: Path, **fields: Any) -> None:
    """Set fields of what the folder's config says on its quantized weights."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["quantization_config"] = config.get("quantization_config", {}) | fields
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def whole_weights(folder: Path, kind: str) -> Tensors:
    """All weights of a folder by their names, quantized ones by the formula of their kind, not by its library."""
    stored = load_file(folder / "model.safetensors")
    of_kind = {"nf4": "weight.absmax", "fp4": "weight.absmax", "int8": "SCB", "fp8": "weight_scale_inv"}
    one = of_kind.get(kind, "scales" if kind in IN_WORDS else "weight_scale")
    modules = [name.removesuffix(f".{one}") for name in stored if name.endswith(f".{one}")]
    assert modules
    whole = {name: tensor for name, tensor in stored.items() if not name.startswith(tuple(f"{m}." for m in modules))}
    for module in modules:
        parts = {name.removeprefix(f"{module}."): tensor for name, tensor in stored.items()
                 if name.startswith(f"{module}.")}  # fmt: skip
        whole[f"{module}.weight"] = _whole(parts, kind)
    return whole


def _save_bitsandbytes(folder: Path, base: Path, kind: str) -> None:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    if kind == "int8":
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_use_double_quant=kind == "nf4"
        )
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, quantization_config=config, device_map={"": "cpu"}
    )
    model.save_pretrained(folder)


def _stored(weight: torch.Tensor, kind: str) -> Tensors:
    if kind == "fp8":
        return _fp8(weight)
    return _words(weight, kind) if kind in IN_WORDS else _compressed(weight, kind)


def _fields(kind: str) -> dict[str, Any]:
    if kind == "fp8":
        return {"quant_method": "fp8", "weight_block_size": list(FP8_BLOCK)}
    if kind in IN_WORDS:
        return {"quant_method": kind, "bits": 4, "group_size": _GROUP, "desc_act": kind == "gptq"}
    return {
        "quant_method": "compressed-tensors",
        "quantization_status": "frozen",
        "sparsity_config": {"format": "dense", "targets": []},
        "format": _format(kind),
        "config_groups": {"group_0": _scheme(kind)},
        "ignore": ["lm_head"],
    }


def _words(weight: torch.Tensor, kind: str) -> Tensors:
    """Random numbers and zero points of 4 bits, with scales of the weight's size."""
    rows, columns = weight.shape
    groups = columns // _GROUP
    numbers = torch.randint(0, 16, (columns, rows), dtype=torch.int32)
    zeros = torch.randint(6, 10, (groups, rows), dtype=torch.int32)
    scales = (weight.abs().max() / 16 * (1 + torch.rand(groups, rows))).half()
    if kind == "awq":
        return {"qweight": _packed(numbers, [0, 2, 4, 6, 1, 3, 5, 7]),
                "qzeros": _packed(zeros, [0, 2, 4, 6, 1, 3, 5, 7]), "scales": scales}  # fmt: skip
    # Columns of a group lie apart, and zero points are stored one lower.
    return {"qweight": _packed(numbers.T).T, "qzeros": _packed(zeros - 1), "scales": scales,
            "g_idx": torch.arange(columns, dtype=torch.int32) % groups}  # fmt: skip


def _packed(numbers: torch.Tensor, order: Sequence[int] = range(8)) -> torch.Tensor:
    """Eight neighbours of a row in each word, in this order from the lowest bits."""
    words = torch.zeros(numbers.shape[0], numbers.shape[1] // 8, dtype=torch.int32)
    for place, number in enumerate(order):
        words |= numbers[:, number::8] << 4 * place
    return words


def _fp8(weight: torch.Tensor) -> Tensors:
    rows, columns = (-(-size // block) for size, block in zip(weight.shape, FP8_BLOCK, strict=True))
    scales = 0.002 * (1 + torch.arange(rows)[:, None] + 2 * torch.arange(columns)[None])
    return {"weight": (weight / _spread(scales, weight)).to(torch.float8_e4m3fn), "weight_scale_inv": scales}


def _spread(scales: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The scale of each number, by its block."""
    spread = torch.empty(like.shape)
    for row in range(like.shape[0]):
        for column in range(0, like.shape[1], FP8_BLOCK[1]):
            block = scales[row // FP8_BLOCK[0], column // FP8_BLOCK[1]]
            spread[row, column : column + FP8_BLOCK[1]] = block
    return spread


def _format(kind: str) -> str:
    return {"float": "float-quantized", "int8-rows": "int-quantized"}.get(kind, "pack-quantized")


def _scheme(kind: str) -> dict[str, Any]:
    bits = 4 if kind.startswith("int4") else 8
    weights = {
        "num_bits": bits,
        "type": "float" if kind == "float" else "int",
        "strategy": "group" if bits == 4 else "channel",
        "group_size": _GROUP if bits == 4 else None,
        "symmetric": kind != "int4-shifted",
    }
    activations = {"num_bits": 8, "type": weights["type"], "strategy": "token", "dynamic": True}
    return {"targets": ["Linear"], "weights": weights, "input_activations": None if bits == 4 else activations}


def _compressed(weight: torch.Tensor, kind: str) -> Tensors:
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationScheme

    grouped = weight.unflatten(1, (-1, _GROUP)) if kind.startswith("int4") else weight[:, None]
    scales = (grouped.abs().amax(2) / {"float": 448, "int8-rows": 127}.get(kind, 7)).bfloat16()
    state = {"weight": weight.bfloat16(), "weight_scale": scales}
    if kind == "int4-shifted":
        state["weight_zero_point"] = torch.randint(-3, 3, scales.shape, dtype=torch.int8)
    compressor = BaseCompressor.get_value_from_registry(_format(kind))
    found: Tensors = compressor.compress(state, QuantizationScheme.model_validate(_scheme(kind)))
    return found


def _whole(parts: Tensors, kind: str) -> torch.Tensor:
    if kind in ("nf4", "fp4"):
        (state,) = (tensor for name, tensor in parts.items() if "quant_state" in name)
        told = json.loads(bytes(state.numpy()))
        codes = torch.stack([parts["weight"].flatten() >> 4, parts["weight"].flatten() & 15], 1).flatten().long()
        scales = parts["weight.absmax"]
        if kind == "nf4":
            outer = parts["weight.nested_absmax"].repeat_interleave(told["nested_blocksize"])[: len(scales)]
            scales = parts["weight.nested_quant_map"][scales.long()] * outer + told["nested_offset"]
        values = parts["weight.quant_map"][codes] * scales.repeat_interleave(told["blocksize"])[: len(codes)]
        return values.reshape(told["shape"])
    if kind == "int8":
        return parts["weight"].float() * parts["SCB"][:, None] / 127
    if kind == "fp8":
        return parts["weight"].float() * _spread(parts["weight_scale_inv"], parts["weight"])
    if kind in ("float", "int8-rows"):
        return parts["weight"].float() * parts["weight_scale"].float()
    if kind == "gptq":
        numbers, zeros = _nibbles(parts["qweight"].T) + 8, _nibbles(parts["qzeros"]) + 9
        group = parts["g_idx"].long()
        return (numbers - zeros.T[:, group]) * parts["scales"].float().T[:, group]
    if kind == "awq":
        from compressed_tensors.entrypoints.convert import AutoAWQConverter

        whole = AutoAWQConverter(4, _GROUP).process({f"a.{name}": tensor for name, tensor in parts.items()})
        parts = {name.removeprefix("a."): tensor for name, tensor in whole.items()}
        kind = "int4-shifted"
    numbers = _nibbles(parts["weight_packed"]).float().unflatten(1, (-1, _GROUP))
    if kind == "int4-shifted":
        numbers = numbers - _nibbles(parts["weight_zero_point"].T).T[..., None]
    return (numbers * parts["weight_scale"].float()[..., None]).flatten(1)


def _nibbles(packed: torch.Tensor) -> torch.Tensor:
    """Numbers from -8 to 7, eight in a word of each row, the lowest bits first."""
    return torch.stack([(packed >> 4 * place) & 15 for place in range(8)], -1).flatten(1) - 8
