"""A GPU that is not there, for tests of paths, not of values: torch's fake tensors have shapes, types and devices and
hold no values, and whatever mixes devices, or hands a kernel what it does not take, fails as it would on a real one."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

_ATEN = torch.ops.aten
_ANSWERED = {
    getattr(_ATEN, name).default for name in ("_local_scalar_dense", "item", "is_nonzero", "allclose", "equal")
}
_GUARDS = "_ZN3c104impl26device_guard_impl_registryE"


class FakeGpu(TorchDispatchMode):
    """`looks`: how often the program looked at values on it. Each waits until all that was asked of a GPU is computed.
    `called`: the operations that were asked of it.

    A question is answered yes, so every comparison agrees: a test with it checks no value.
    """

    def __init__(self, fakes: FakeTensorMode) -> None:
        super().__init__()
        self._fakes = fakes
        self.looks = 0
        self.called: set[Any] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree_map_only(torch.Tensor, self._as_fake, (args, kwargs or {}))
        is_of_gpu = any(isinstance(part, torch.Tensor) and part.is_cuda for part in args)
        if is_of_gpu:
            self.called.add(func)
        if func in _ANSWERED:
            self.looks += is_of_gpu
            return True
        if func is torch.ops.torch_attn._varlen_attn.default:
            _check_flash_attention(*args[:5])
        result = func(*args, **kwargs)
        self.looks += is_of_gpu and isinstance(result, torch.Tensor) and result.device.type == "cpu"
        return result

    def _as_fake(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor if isinstance(tensor, FakeTensor) else self._fakes.from_tensor(tensor)


@contextmanager
def fake_gpu() -> Iterator[FakeGpu]:
    """Within it, tensors of cuda:0 can be made and computed with, and none has values."""
    with pytest.MonkeyPatch.context() as patch, _device_guard():
        patch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
        patch.setattr(FakeTensor, "numpy", lambda tensor: np.zeros(tensor.shape), raising=False)
        with FakeTensorMode() as fakes, FakeGpu(fakes) as gpu:
            yield gpu


def moved(model: torch.nn.Module) -> torch.nn.Module:
    """The model, its weights on the GPU; within `fake_gpu`."""
    there: dict[int, Any] = {}  # tied weights stay one
    for part in model.modules():
        for kept, kind in ((part._parameters, torch.nn.Parameter), (part._buffers, torch.Tensor.contiguous)):
            for name, tensor in kept.items():
                if tensor is not None and id(tensor) not in there:
                    empty = torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda:0")
                    there[id(tensor)] = tensor, kind(empty)  # and the old one, or its place would be given to another
                if tensor is not None:
                    kept[name] = there[id(tensor)][1]
    return model


@contextmanager
def _device_guard() -> Iterator[None]:
    """torch asks a guard to choose the device before it does anything on it; builds for processors have none for GPUs.
    That of the processor, which does nothing, stands in."""
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    guards = (ctypes.c_void_p * 2).in_dll(library, _GUARDS)  # by device: the processor, CUDA
    before = guards[1]
    guards[1] = before or guards[0]
    try:
        yield
    finally:
        guards[1] = before


def _check_flash_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, query_ends: torch.Tensor, key_ends: torch.Tensor
) -> None:
    """What torch's kernel of variable length asks for (`mha_varlen_fwd` in its flash_api.cpp)."""
    for part in (query, key, value):
        assert part.dtype in (torch.float16, torch.bfloat16)
        assert part.stride(-1) == 1
        assert part.shape[-1] == query.shape[-1] <= 256
        assert part.shape[-1] % 8 == 0
    for ends in (query_ends, key_ends):
        assert ends.dtype == torch.int32
        assert ends.is_contiguous()
    assert len(query_ends) == len(key_ends)
    assert {part.device.type for part in (query, key, value, query_ends, key_ends)} == {"cuda"}
