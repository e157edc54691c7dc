"""The faster products give what torch's own give, where they take over and where they leave it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.engine.matrix_products import fast_products


@pytest.mark.parametrize("bias", [None, "own", "strided"])
@pytest.mark.parametrize("shape", [(1, 7, 32), (7, 32), (0, 32), (32,)])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_linear_layer_gives_the_same(bias: str | None, shape: tuple[int, ...], transposed: bool) -> None:
    torch.manual_seed(0)
    states, weight = torch.randn(shape), torch.randn(32, 5).T if transposed else torch.randn(5, 32)
    given = None if bias is None else torch.randn(5) if bias == "own" else torch.randn(5, 3)[:, 1]
    expected = F.linear(states, weight, given)
    with torch.inference_mode(), fast_products(torch.device("cpu"), torch.float32):
        found = F.linear(states, weight, given)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_gradients_flow_as_ever() -> None:
    weight = torch.randn(5, 32, requires_grad=True)
    with fast_products(torch.device("cpu"), torch.float32):
        F.linear(torch.ones(2, 32), weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[2.0] * 32] * 5
