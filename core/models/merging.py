"""Merges references of one base into one: the weighted mean of their weights, or each weight from one of them.

An adapter's weights are its change of the base, a product of two factors. The mean of such changes is a product again,
of the factors side by side (peft's combination "cat"), so it is exact; the mean of the factors is not, as it holds
products of one adapter's factor with another's. Imports torch.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from peft.utils.other import get_pattern_key
from safetensors import safe_open
from safetensors.torch import save_file

from ..data.errors import ModelUnusable
from .adapter_facts import takes_from_base
from .folder_check import ADAPTER_CONFIG, ADAPTER_WEIGHTS, read_json, weight_files
from .resolving import ModelSpec
from .stored_quantization import method_of

_INEXACT = {
    "use_dora": "DoRA's directions",
    "lora_bias": "biases of its own",
    "alora_invocation_tokens": "a beginning at certain tokens",
    "trainable_token_indices": "single trained tokens",
    "target_parameters": "changes of single parameters",
}
"""Settings of an adapter whose change of the base is no plain product, and what they bring."""
_FIRST, _SECOND = (".lora_A.", ".lora_embedding_A"), (".lora_B.", ".lora_embedding_B")


def mean_adapter(specs: Sequence[ModelSpec], shares: Sequence[float], folder: Path) -> None:
    """Write the adapter whose change of the base is the weighted mean of several adapters' changes; its rank is the sum
    of theirs. Weights that adapters bring whole are averaged as they are.

    Raises `ModelUnusable` if a change is no plain product of LoRA, or the adapters change other weights of the base.
    """
    configs = [_plain_config(spec) for spec in specs]
    merged: dict[str, torch.Tensor] = {}
    ranks: dict[str, int] = {}
    with _opened(specs, [[Path(str(spec.adapter), ADAPTER_WEIGHTS)] for spec in specs]) as models:
        for name in models[0]:
            tensors = [tensor.float() for tensor in _tensors(name, models)]
            if any(part in name for part in _FIRST):
                merged[name] = torch.cat(tensors)
                ranks[_module(name)] = len(merged[name])
            elif any(part in name for part in _SECOND):
                scaled = [
                    share * _scale(config, _module(name), tensor.shape[1]) * tensor
                    for config, share, tensor in zip(configs, shares, tensors, strict=True)
                ]
                merged[name] = torch.cat(scaled, dim=1)
            else:
                merged[name] = _mean(tensors, shares)
    rank = max(ranks.values(), default=1)
    # The scales are in the weights now: alpha is the rank everywhere, so that peft multiplies by 1.
    other = {name: own for name, own in ranks.items() if own != rank}
    config = configs[0] | {"r": rank, "lora_alpha": rank, "rank_pattern": other, "alpha_pattern": other}
    config |= {"use_rslora": False, "init_lora_weights": True, "inference_mode": True}
    config["target_modules"] = sorted(ranks)
    save_file({name: tensor.contiguous() for name, tensor in merged.items()}, folder / ADAPTER_WEIGHTS)
    (folder / ADAPTER_CONFIG).write_text(json.dumps(config, ensure_ascii=False, indent=1), encoding="utf-8")


def merged_weights(specs: Sequence[ModelSpec], shares: Sequence[float], seed: int | None, folder: Path) -> None:
    """Write the weights merged from several full models, in one file for each of the first model's.

    `seed`: None for the weighted mean; else each single weight is that of one model, drawn with the probability of its
    share. The draw depends on the seed and the tensor's name alone. Raises `ModelUnusable` if their tensors differ, or
    are stored quantized.
    """
    for spec in specs:
        if method_of(read_json(Path(spec.path, "config.json"))):
            raise ModelUnusable(f"The weights of {spec.label!r} are stored quantized, so they cannot be merged.")
    files = [weight_files(Path(spec.path)) for spec in specs]
    with _opened(specs, files) as models:
        for path in files[0]:
            content = {}
            for name in _names(path):
                tensors = _tensors(name, models)
                found = _mean(tensors, shares) if seed is None else _drawn(tensors, shares, seed, name)
                content[name] = found.to(tensors[0].dtype).contiguous()
            save_file(content, folder / path.name, {"format": "pt"})


def _mean(tensors: Sequence[torch.Tensor], shares: Sequence[float]) -> torch.Tensor:
    """In float64: equal weights stay as they are."""
    total = sum(share * tensor.double() for share, tensor in zip(shares, tensors, strict=True))
    assert isinstance(total, torch.Tensor)
    return total.to(tensors[0].dtype)


def _drawn(tensors: Sequence[torch.Tensor], shares: Sequence[float], seed: int, name: str) -> torch.Tensor:
    digest = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest) >> 1)
    numbers = torch.rand(tensors[0].shape, generator=generator, dtype=torch.float64)
    chosen = tensors[0].clone()
    for place in range(1, len(tensors)):
        chosen = torch.where(numbers >= math.fsum(shares[:place]), tensors[place], chosen)
    return chosen


@contextmanager
def _opened(specs: Sequence[ModelSpec], files: Sequence[Sequence[Path]]) -> Iterator[list[dict[str, Any]]]:
    """The open file of each tensor, by name, of each model. Raises `ModelUnusable` if they have other names."""
    with ExitStack() as stack:
        models: list[dict[str, Any]] = []
        for spec, paths in zip(specs, files, strict=True):
            opened = [stack.enter_context(safe_open(path, framework="pt")) for path in paths]
            models.append({name: file for file in opened for name in list(file.keys())})
            if odd := models[0].keys() ^ models[-1].keys():
                raise ModelUnusable(
                    f"{spec.label!r} and {specs[0].label!r} do not change the same weights (only one has "
                    f"{min(odd)[:80]}), so they cannot be merged."
                )
        yield models


def _tensors(name: str, models: Sequence[dict[str, Any]]) -> list[torch.Tensor]:
    tensors = [model[name].get_tensor(name) for model in models]
    # Factors may differ in rank.
    if not any(part in name for part in _FIRST + _SECOND) and len({tuple(tensor.shape) for tensor in tensors}) > 1:
        raise ModelUnusable(f"The models have {name[:80]} in several shapes, so they cannot be merged.")
    return tensors


def _names(path: Path) -> list[str]:
    with safe_open(path, framework="pt") as file:
        return list(file.keys())


def _plain_config(spec: ModelSpec) -> dict[str, Any]:
    folder = Path(str(spec.adapter))
    config = read_json(folder / ADAPTER_CONFIG)
    reasons = [reason for field, reason in _INEXACT.items() if config.get(field)]
    if config.get("peft_type") != "LORA":
        reasons = [f"the method {str(config.get('peft_type'))[:40]}"]
    if config.get("bias", "none") != "none":
        reasons.append("biases of the base")
    if takes_from_base(folder):
        reasons.append("a beginning that is taken from the base's weights")
    if reasons:
        raise ModelUnusable(
            f"The adapter {spec.label!r} has {reasons[0]}, so its change of the base is no plain product and cannot be "
            "merged exactly. Merge it into its base where it was trained."
        )
    return config


def _module(name: str) -> str:
    """The base's module that a factor belongs to."""
    return name.removeprefix("base_model.model.").partition(".lora_")[0]


def _scale(config: dict[str, Any], module: str, rank: int) -> float:
    """What peft multiplies an adapter's product by. Source: peft's LoraLayer.update_layer."""
    pattern = config.get("alpha_pattern") or {}
    alpha = float(pattern.get(get_pattern_key(list(pattern), module), config["lora_alpha"]))
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
