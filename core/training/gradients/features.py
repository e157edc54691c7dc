"""LESS's two features of a row, from the gradient g of its mean loss [nats per scored token] by an adapter's weights.

    of a target's row        g / |g|
    of a row to train on     G / |G|,  G = m' / sqrt(v' + 1e-8),  m' = 0.9 m + 0.1 g,  v' = 0.999 v + 0.001 g^2

m and v are Adam's moments at a checkpoint. Eps is inside the root and the bias is not corrected, as in the authors'
program (princeton-nlp/LESS, arXiv 2402.04333), whose random projection is left out: nothing here needs it.
"""

from collections.abc import Mapping
from typing import Any

import torch

from ...data.encoded import Encoded
from ...data.errors import ModelUnusable
from ...engine.training_engine import TrainingEngine

FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.999, 1e-8


class RowGradients:
    """Gradients of single rows by a model's trained weights, all in one vector, in the order of the model."""

    def __init__(self, model: torch.nn.Module) -> None:
        """The model is left in evaluation mode: dropout would make a row's gradient random."""
        self._model = model.eval()
        self._weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        first = next(iter(self._weights.values()))
        self.size = sum(weight.numel() for weight in self._weights.values())
        self._engine = TrainingEngine(model)
        self._gradient = torch.zeros(self.size, dtype=first.dtype, device=first.device)
        begin = 0
        for weight in self._weights.values():  # backward adds to these views, so there is one copy of a gradient
            weight.grad = self._gradient[begin : begin + weight.numel()].view_as(weight)
            begin += weight.numel()

    def put(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Give the model a checkpoint's weights. Raises `ModelUnusable` if they are another adapter's."""
        shapes = {name: weight.shape for name, weight in self._weights.items()}
        if shapes != {name: weight.shape for name, weight in weights.items()}:
            raise ModelUnusable("The kept checkpoints do not fit the base with its adapter. Train the reference again.")
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(weights[name])

    def flat(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Values by the weights' names, such as moments, as a vector like a gradient."""
        return torch.cat([values[name].to(self._gradient).flatten() for name in self._weights])

    def zeros(self, count: int) -> torch.Tensor:
        """So many vectors like a gradient [count x weights], of zeros."""
        return self._gradient.new_zeros(count, self.size)

    def of(self, row: Encoded) -> torch.Tensor:
        """The gradient of a row's mean loss. The next call overwrites it, and so may the caller."""
        self._gradient.zero_()
        kind = self._gradient.device.type
        with self._engine.attention_of([row]):
            with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):  # as in training
                _, losses = self._engine.losses([row])
            losses.mean().backward()  # type: ignore[no-untyped-call]
        return self._gradient


class AdamStep:
    """The direction in which Adam would step for a row's gradient, given the moments of a checkpoint."""

    def __init__(self, first: torch.Tensor, second: torch.Tensor) -> None:
        """Moments as vectors; they are overwritten."""
        self._first, self._second = first.mul_(FIRST_DECAY), second.mul_(SECOND_DECAY).add_(EPSILON)

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        """G, in the place of the gradient."""
        root = gradient.square().mul_(1 - SECOND_DECAY).add_(self._second).sqrt_()
        return gradient.mul_(1 - FIRST_DECAY).add_(self._first).div_(root)


def unit(vector: torch.Tensor) -> torch.Tensor | None:
    """The vector at length 1, in its place; None if it has no length, or one that is not finite."""
    length: Any = torch.linalg.vector_norm(vector, dtype=torch.float64).item()
    return vector.mul_(1 / length) if 0 < length < float("inf") else None
