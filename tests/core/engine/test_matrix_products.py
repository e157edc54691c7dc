"""The faster products give what numpy gives in double precision, where they take over and where they leave it."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.engine.engine_choice import ONEDNN
from core.engine.matrix_products import _onednn_linear, has_onednn, products_by


@pytest.fixture(autouse=True, params=["AVX512", "DEFAULT"])
def _processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Products as on a processor of that kind, whichever runs the test."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: request.param)
    _onednn_linear.cache_clear()
    assert has_onednn() == (request.param == "AVX512")
    yield
    _onednn_linear.cache_clear()


@pytest.mark.parametrize("bias", [None, "own", "strided"])
@pytest.mark.parametrize("shape", [(1, 7, 32), (7, 32), (0, 32), (32,)])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_linear_layer_gives_the_products_of_double_precision(
    bias: str | None, shape: tuple[int, ...], transposed: bool
) -> None:
    torch.manual_seed(0)
    states, weight = torch.randn(shape), torch.randn(32, 5).T if transposed else torch.randn(5, 32)
    given = None if bias is None else torch.randn(5) if bias == "own" else torch.randn(5, 3)[:, 1]
    expected = states.numpy().astype(np.float64) @ weight.numpy().T.astype(np.float64)
    expected += 0 if given is None else given.numpy()
    with torch.inference_mode(), products_by(ONEDNN, torch.device("cpu"), torch.float32):
        found = F.linear(states, weight, given)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_library_whose_products_differ_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, *_: object) -> torch.Tensor:
        return F.linear(states, weight, bias) + 0.01

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", wrong)
    _onednn_linear.cache_clear()
    assert not has_onednn()


def test_gradients_flow_as_ever() -> None:
    weight = torch.randn(5, 32, requires_grad=True)
    with products_by(ONEDNN, torch.device("cpu"), torch.float32):
        F.linear(torch.ones(2, 32), weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[2.0] * 32] * 5
