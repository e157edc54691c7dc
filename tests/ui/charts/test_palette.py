import re
from itertools import combinations

import numpy as np
import pytest

from tests.ui.contrast import THEMES, contrast
from ui.charts.palette import LINE, PALETTE, SOLID

SIMULATED = {
    "typical": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
"""How linear RGB is seen, by Machado, Oliveira and Fernandes (2009), severity 1."""


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)], float)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("colour", PALETTE)
def test_points_and_lines_have_a_contrast_of_three_to_one(colour: str, theme: str) -> None:
    page = np.array(THEMES[theme][0])
    assert contrast(SOLID * rgb(colour) + (1 - SOLID) * page, page) >= 3


@pytest.mark.parametrize("theme", THEMES)
def test_lines_of_no_domain_have_it_too(theme: str) -> None:
    page = np.array(THEMES[theme][0])
    *grey, opacity = (float(part) for part in re.findall(r"[\d.]+", LINE))
    assert contrast(opacity * np.array(grey) + (1 - opacity) * page, page) >= 3


@pytest.mark.parametrize("sight", SIMULATED)
def test_any_two_colours_differ(sight: str) -> None:
    """By 0.07 in Oklab; of the palette before this one, the nearest two differed by 0.019."""

    def oklab(colour: str) -> np.ndarray:  # source: bottosson.github.io/posts/oklab
        linear = np.clip(np.array(SIMULATED[sight]) @ _linear(rgb(colour) / 255), 0, 1)
        cones = [
            [0.41222147, 0.53633254, 0.05144599],
            [0.2119035, 0.68069955, 0.10739696],
            [0.08830246, 0.28171884, 0.62997870],
        ]
        lab = [
            [0.21045426, 0.79361779, -0.00407205],
            [1.9779985, -2.42859221, 0.45059371],
            [0.0259040, 0.78277177, -0.80867577],
        ]
        return np.array(lab) @ np.cbrt(np.array(cones) @ linear)

    assert min(np.linalg.norm(oklab(one) - oklab(two)) for one, two in combinations(PALETTE, 2)) > 0.07


def _linear(parts: np.ndarray) -> np.ndarray:
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
