"""Runs matrix products on a CPU with either of torch's libraries, and tests whether a GPU can return them in float32.

torch ships MKL and oneDNN, and uses MKL for float32 products. Both are as exact; which is faster depends on the
processor: oneDNN was twice as fast on an AMD EPYC (Zen 5), and slower on Intel Xeons. `measured_choice` decides.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from .engine_choice import ONEDNN


def products_by(library: str, device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Context manager: without gradients, float32 linear layers on a CPU use that library, if torch has it."""
    if library == ONEDNN and device.type == "cpu" and dtype == torch.float32 and has_onednn():
        return _OneDnnLinear()
    return nullcontext()


def has_onednn() -> bool:
    """Whether torch has oneDNN's linear layer here, with results that match torch's own."""
    return _onednn_linear() is not None


@cache
def has_wide_products(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether half-precision products can be returned in float32, the precision of their sums.

    Rounding to bfloat16 changes a logit of 20 by up to 0.06.
    """
    if device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16):
        return False
    rows, columns = (torch.sin(torch.arange(256.0, device=device) + shift).view(16, 16).to(dtype) for shift in (0, 1))
    try:
        wide = torch.mm(rows, columns.t(), out_dtype=torch.float32)
    except RuntimeError:  # builds for AMD GPUs
        return False
    return torch.allclose(wide, F.linear(rows.float(), columns.float()), atol=1e-2)


@cache
def _onednn_linear() -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor] | None:
    """oneDNN's linear layer, if torch has it and its results match torch's own."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return None

    def linear(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(states, weight, bias, "none", [], "")
        return product

    states, weight = torch.sin(torch.arange(96.0)).view(1, 3, 32), torch.cos(torch.arange(160.0)).view(5, 32)
    bias = torch.arange(5.0)
    try:
        agrees = torch.allclose(linear(states, weight, bias), F.linear(states, weight, bias), atol=1e-5)
    except (AttributeError, RuntimeError):
        return None
    return linear if agrees else None


class _OneDnnLinear(TorchFunctionMode):
    """Redirects `F.linear` of float32 tensors to oneDNN."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear and not kwargs and _takes(*args):
            linear = _onednn_linear()
            assert linear is not None
            return linear(args[0], args[1], args[2] if len(args) > 2 else None)
        return func(*args, **(kwargs or {}))


def _takes(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> bool:
    # oneDNN silently reads a non-contiguous bias as if it were contiguous.
    laid_out = all(part is None or part.is_contiguous() for part in (weight, bias))
    plain = states.dtype == weight.dtype == torch.float32 and weight.layout == torch.strided and weight.dim() == 2
    return torch.is_inference_mode_enabled() and plain and laid_out and states.numel() > 0
