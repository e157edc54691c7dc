"""Fits loss(n) = floor + scale n^-exponent to a training curve, n the tokens seen, as ADO does (arXiv 2410.11820).

The residuals are of the log loss, under a Huber loss, from a grid of starts. ADO's penalty on low floors is left out:
it keeps them above 1.65 nats per token, which the curves of fine-tuning are below.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
FEWEST_POINTS = 30
"""Fewest points of a curve to fit three parameters to."""
_MOST_POINTS = 400
_HUBER = 1e-3
_STARTS = 8
"""Starting values of each parameter."""
_REFINED = 6
_EXPONENTS = (1e-3, 3.0)


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """loss(n) = floor + scale n^-exponent [nats per token]. `scatter`: median distance of the points' log losses."""

    floor: float
    scale: float
    exponent: float
    scatter: float

    def loss(self, tokens: float) -> float:
        """The loss after so many tokens."""
        return float(self.floor + self.scale * tokens**-self.exponent)

    def speed(self, tokens: float) -> float:
        """How fast it falls there [nats per token, per token]."""
        return self.exponent * (self.loss(tokens) - self.floor) / tokens


def fit_power_law(tokens: Numbers, losses: Numbers) -> PowerLaw:
    """The power law nearest to points of a curve, at least `FEWEST_POINTS`: tokens seen (above 0), and losses (above 0)
    [nats per token]. Of the 512 starts, the best 6 are refined by L-BFGS."""
    from scipy.optimize import minimize  # here, because commands and the dashboard should not wait for it

    tokens, losses = _windows(tokens, losses)
    origin = tokens.min()
    log_n, log_loss = np.log(tokens / origin), np.log(losses)
    grid = (
        np.log(losses.min() * np.linspace(0.02, 0.98, _STARTS)),  # floor
        np.log(np.ptp(losses) * np.geomspace(0.1, 4, _STARTS) + 1e-9),  # scale, at the first point
        np.geomspace(0.02, 2.0, _STARTS),  # exponent
    )
    starts = sorted(product(*grid), key=lambda start: _distance(np.array(start), log_n, log_loss)[0])[:_REFINED]
    bounds = [(log_loss.min() - 12, log_loss.max()), (-20.0, log_loss.max() + 8), _EXPONENTS]
    options = {"maxiter": 300, "ftol": 1e-12, "gtol": 1e-8}
    found = [
        minimize(_distance, start, (log_n, log_loss), "L-BFGS-B", jac=True, bounds=bounds, options=options)
        for start in starts
    ]
    floor, scale, exponent = min(found, key=lambda each: each.fun).x
    scatter = np.median(np.abs(np.logaddexp(floor, scale - exponent * log_n) - log_loss))
    return PowerLaw(float(np.exp(floor)), float(np.exp(scale) * origin**exponent), float(exponent), float(scatter))


def _distance(parameters: Numbers, log_n: Numbers, log_loss: Numbers) -> tuple[float, Numbers]:
    """Sum of the Huber losses over delta, so that its size does not end the search early, and its gradient."""
    floor, scale, exponent = parameters
    fallen = scale - exponent * log_n
    fitted = np.logaddexp(floor, fallen)
    residuals = fitted - log_loss
    inner = np.clip(residuals, -_HUBER, _HUBER)
    of_fallen = inner * np.exp(fallen - fitted)
    gradient = np.array([(inner * np.exp(floor - fitted)).sum(), of_fallen.sum(), -(of_fallen * log_n).sum()])
    return float((inner * (residuals - inner / 2)).sum()) / _HUBER, gradient / _HUBER


def _windows(tokens: Numbers, losses: Numbers) -> tuple[Numbers, Numbers]:
    """The points in order, or the means of neighbours where there are more than `_MOST_POINTS`."""
    order = np.argsort(tokens, kind="stable")
    parts = min(len(order), _MOST_POINTS)
    windows = np.array_split(order, parts)
    return (
        np.array([np.exp(np.log(tokens[rows]).mean()) for rows in windows]),
        np.array([np.exp(np.log(losses[rows]).mean()) for rows in windows]),
    )
