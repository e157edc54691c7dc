"""Which library multiplies matrices on a CPU, and whether a GPU gives products unrounded.

torch ships MKL and oneDNN. It gives products of float32 to MKL, which leaves AVX-512 unused on some processors that
have it: oneDNN was twice as fast on an AMD EPYC of the Zen 5 kind, and is as exact.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode


def fast_products(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Within it, and without gradients, linear layers on that device run by the faster library.

    Decided by what the processor can do and not by timing: base and reference are multiplied in the same way.
    """
    if device.type == "cpu" and dtype == torch.float32 and _onednn_linear() is not None:
        return _OneDnnLinear()
    return nullcontext()


@cache
def has_wide_products(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether matrices of half precision can be multiplied there into float32, in which they are summed anyway.

    Rounded to bfloat16, a logit of 20 is off by up to 0.06.
    """
    if device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16):
        return False
    rows, columns = (torch.sin(torch.arange(256.0, device=device) + shift).view(16, 16).to(dtype) for shift in (0, 1))
    try:
        wide = torch.mm(rows, columns.t(), out_dtype=torch.float32)
    except RuntimeError:  # builds for AMD's GPUs
        return False
    return torch.allclose(wide, F.linear(rows.float(), columns.float()), atol=1e-2)


@cache
def _onednn_linear() -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor] | None:
    """oneDNN's linear layer, if torch has it and it gives what torch's own gives."""
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
    """Sends `F.linear` of float32 tensors to oneDNN."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear and not kwargs and _takes(*args):
            linear = _onednn_linear()
            assert linear is not None
            return linear(args[0], args[1], args[2] if len(args) > 2 else None)
        return func(*args, **(kwargs or {}))


def _takes(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> bool:
    # oneDNN reads a bias that is not contiguous as if it were, and says nothing.
    laid_out = all(part is None or part.is_contiguous() for part in (weight, bias))
    plain = states.dtype == weight.dtype == torch.float32 and weight.layout == torch.strided and weight.dim() == 2
    return torch.is_inference_mode_enabled() and plain and laid_out and states.numel() > 0
