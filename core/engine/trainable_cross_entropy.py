"""Chunked cross-entropy with its own backward: training never holds [positions x vocabulary], not even for backward.

    d loss / d states = scale * (softmax(logits) @ weight - weight[target])

Under a frozen head this is summed in the forward pass over the same tiles as the loss, with a running maximum as in
flash attention, so that logits are computed once. A head that is trained computes them again in backward, where the
gradient of its weight is summed tile by tile.
"""

from typing import Any

import torch

from .chunked_cross_entropy import Head

_LOWEST = torch.finfo(torch.float32).min


def trainable_losses(head: Head, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Loss of each target [nats], float32, given the states [positions x width] that predict them; differentiable
    with respect to the states and to the head's weight and bias, where these are trained."""
    kind = states.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else head.weight.dtype
    bias = None if head.bias is None else head.bias.to(dtype)
    with torch.autocast(kind, enabled=False):
        losses: torch.Tensor = _ChunkedLosses.apply(  # type: ignore[no-untyped-call]
            states.to(dtype), head.weight.to(dtype), bias, targets, head
        )
    return losses


class _ChunkedLosses(torch.autograd.Function):
    """states, weight, bias, targets, head -> losses."""

    @staticmethod
    def forward(
        ctx: Any,
        states: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        head: Head,
    ) -> torch.Tensor:
        """The losses; kept for backward: their gradients by the states, or what computes them again."""
        tiled = Head(weight, bias, head.scale, head.cap, head.wide, head.tile_tokens)
        ctx.head = tiled
        ctx.trains_head = any(ctx.needs_input_grad[1:3])
        gradients = torch.empty_like(states) if ctx.needs_input_grad[0] and not ctx.trains_head else None
        losses = torch.empty(len(targets), device=states.device)
        log_sums = torch.empty_like(losses)
        for part in tiled.chunks(states):
            gradient = None if gradients is None else gradients[part]
            losses[part], log_sums[part] = _losses(tiled, states[part], targets[part], gradient)
        if ctx.trains_head:
            ctx.save_for_backward(states, targets, log_sums)
        elif gradients is not None:
            ctx.save_for_backward(gradients)
        return losses

    @staticmethod
    def backward(ctx: Any, *given: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients by the states, the weight and the bias."""
        (by_losses,) = given
        if not ctx.trains_head:
            (gradients,) = ctx.saved_tensors
            return gradients * by_losses[:, None].to(gradients.dtype), None, None, None, None
        states, targets, log_sums = ctx.saved_tensors
        head: Head = ctx.head
        by_states = torch.empty_like(states)
        by_weight = torch.zeros_like(head.weight)
        by_bias = None if head.bias is None else torch.zeros_like(head.bias)
        for part in head.chunks(states):
            by_states[part] = _backward(
                head, states[part], targets[part], log_sums[part], by_losses[part], by_weight, by_bias
            )
        return by_states, by_weight, by_bias, None, None


def _losses(
    head: Head, states: torch.Tensor, targets: torch.Tensor, gradients: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses, and ln sum exp of the logits, of a chunk of positions; `gradients` is overwritten with those of the
    losses by the states."""
    highest = torch.full(targets.shape, _LOWEST, device=states.device)
    total = torch.zeros_like(highest)
    picked = torch.zeros_like(highest)
    summed = None if gradients is None else torch.zeros(states.shape, device=states.device)
    for start, logits in head.tiles(states):
        weight = head.weight[start : start + logits.shape[1]]
        places, inside = _targets_in(start, logits, targets)
        picked = torch.where(inside, logits.gather(1, places)[:, 0], picked)
        slopes = _slopes(head, logits)
        higher = torch.maximum(highest, logits.amax(1))
        shrink = torch.exp(highest - higher)
        weights = logits.sub_(higher[:, None]).exp_()
        total.mul_(shrink).add_(weights.sum(1))
        if summed is not None:
            if slopes is not None:
                weights *= slopes
            summed.mul_(shrink[:, None])
            _add_product(summed, weights, weight)
        highest = higher
    log_sums = highest + total.log()
    if summed is not None and gradients is not None:
        by_target = head.weight[targets].float()
        if head.cap:
            by_target *= (1 - (picked / head.cap) ** 2)[:, None]
        gradients.copy_(summed.div_(total[:, None]).sub_(by_target).mul_(head.scale))
    return log_sums - picked, log_sums


def _backward(
    head: Head,
    states: torch.Tensor,
    targets: torch.Tensor,
    log_sums: torch.Tensor,
    by_losses: torch.Tensor,
    by_weight: torch.Tensor,
    by_bias: torch.Tensor | None,
) -> torch.Tensor:
    """Gradients by the states of a chunk of positions; those by the weight and the bias are added to theirs."""
    summed = torch.zeros(states.shape, device=states.device)
    for start, logits in head.tiles(states):
        tile = slice(start, start + logits.shape[1])
        places, inside = _targets_in(start, logits, targets)
        slopes = _slopes(head, logits)
        by_logits = logits.sub_(log_sums[:, None]).exp_().mul_(by_losses[:, None])
        by_logits.scatter_add_(1, places, torch.where(inside, -by_losses, 0.0)[:, None])
        if slopes is not None:
            by_logits *= slopes
        by_logits *= head.scale
        if by_bias is not None:
            by_bias[tile] += by_logits.sum(0)
        _add_product(summed, by_logits, head.weight[tile])
        _add_product(by_weight[tile], by_logits.t(), states)
    return summed.to(states.dtype)


def _targets_in(start: int, logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each target's column [positions x 1] in the tile that begins with token `start`, and whether it is in it."""
    places = (targets - start).clamp(0, logits.shape[1] - 1)
    return places[:, None], places + start == targets


def _slopes(head: Head, logits: torch.Tensor) -> torch.Tensor | None:
    """Derivative of capped logits by those before the cap; None without a cap."""
    return 1 - (logits / head.cap) ** 2 if head.cap else None


def _add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """total += left @ right, products in the precision of `right`."""
    if total.dtype == right.dtype:
        total.addmm_(left.to(right.dtype), right)
    else:
        total += left.to(right.dtype) @ right
