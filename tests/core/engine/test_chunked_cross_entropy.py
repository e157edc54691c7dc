"""The head in tiles against a log-softmax of all logits in double precision."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.engine.chunked_cross_entropy import Head
from core.engine.trainable_cross_entropy import trainable_losses


def exact(head: Head, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    logits = states.double() @ head.weight.double().T + (0 if head.bias is None else head.bias.double())
    logits = logits * head.scale
    if head.cap:
        logits = head.cap * torch.tanh(logits / head.cap)
    return F.cross_entropy(logits, targets, reduction="none")


@pytest.fixture
def states() -> torch.Tensor:
    return torch.randn(37, 24, generator=torch.Generator().manual_seed(1)) * 3


@pytest.fixture
def weight() -> torch.Tensor:
    return torch.randn(301, 24, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def targets() -> torch.Tensor:
    return torch.randint(0, 301, (37,), generator=torch.Generator().manual_seed(3))


@pytest.fixture(autouse=True, params=["on a processor", "as on a GPU"])
def _form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.engine.chunked_cross_entropy._on_gpu", lambda _: request.param == "as on a GPU")


@pytest.fixture(autouse=True, params=[(512, 2048), (5, 64), (8, 300)])
def tile_tokens(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Tokens of a tile, for a head; a tile's positions, and a GPU's tokens, are set for all."""
    positions, tokens = request.param
    for name in ("_TILE_POSITIONS", "_GPU_TILE_POSITIONS"):
        monkeypatch.setattr(f"core.engine.chunked_cross_entropy.{name}", positions)
    monkeypatch.setattr("core.engine.chunked_cross_entropy._GPU_TILE_TOKENS", tokens)
    return tokens


@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("with_bias", [False, True])
def test_tiles_give_the_log_softmax_of_all_logits(
    states: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    scale: float,
    cap: float | None,
    with_bias: bool,
    tile_tokens: int,
) -> None:
    head = Head(weight, weight[:, 0].clone() if with_bias else None, scale, cap, tile_tokens=tile_tokens)
    np.testing.assert_allclose(head.losses(states, targets), exact(head, states, targets), rtol=0, atol=2e-5)


def test_a_later_logit_far_above_the_first_tile_does_not_overflow(
    states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, tile_tokens: int
) -> None:
    weight[-1] *= 60
    head = Head(weight, None, 1.0, None, tile_tokens=tile_tokens)
    losses = head.losses(states, targets)
    assert torch.isfinite(losses).all()
    np.testing.assert_allclose(losses, exact(head, states, targets), rtol=1e-5, atol=1e-4)


def test_what_is_not_finite_stays_with_its_position(
    states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, tile_tokens: int
) -> None:
    head = Head(weight, None, 1.0, None, tile_tokens=tile_tokens)
    whole = head.losses(states, targets)
    states[4] = torch.nan
    losses = head.losses(states, targets)
    assert torch.isnan(losses[4])
    others = torch.arange(37) != 4
    np.testing.assert_allclose(losses[others], whole[others], rtol=0, atol=1e-5)


def test_tokens_that_a_bias_rules_out_add_nothing(
    states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, tile_tokens: int
) -> None:
    bias = torch.zeros(301)
    bias[:70] = -torch.inf  # all of a small first tile
    head = Head(weight, bias, 1.0, None, tile_tokens=tile_tokens)
    kept = targets >= 70
    losses = head.losses(states[kept], targets[kept])
    np.testing.assert_allclose(losses, exact(head, states[kept], targets[kept]), rtol=0, atol=2e-5)


def test_no_positions_have_no_losses(weight: torch.Tensor, tile_tokens: int) -> None:
    assert (
        len(
            Head(weight, None, 1.0, None, tile_tokens=tile_tokens).losses(
                torch.zeros(0, 24), torch.zeros(0, dtype=torch.long)
            )
        )
        == 0
    )


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("with_bias", [False, True])
def test_its_gradients_are_those_of_all_logits(
    states: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    trained: bool,
    cap: float | None,
    with_bias: bool,
    tile_tokens: int,
) -> None:
    weight[-1] *= 20  # the largest logits come last
    bias = weight[:, 0].clone().requires_grad_(trained) if with_bias else None
    parts = [states.requires_grad_(), *([weight.requires_grad_()] if trained else []), *([bias] if trained else [])]
    parts = [part for part in parts if part is not None]
    head = Head(weight, bias, 0.25, cap, tile_tokens=tile_tokens)
    worth = torch.linspace(-1, 2, 37)
    found = torch.autograd.grad((trainable_losses(head, states, targets) * worth).sum(), parts)
    logits = F.linear(states, weight, bias).double() * 0.25
    logits = cap * torch.tanh(logits / cap) if cap else logits
    losses = F.cross_entropy(logits, targets, reduction="none")
    for gradient, expected in zip(found, torch.autograd.grad((losses * worth).sum(), parts), strict=True):
        assert float((gradient - expected).norm()) <= 1e-5 * float(expected.norm())
    np.testing.assert_allclose(
        trainable_losses(head, states, targets).detach(), losses.float().detach(), rtol=1e-5, atol=2e-5
    )
