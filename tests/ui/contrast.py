"""Contrast of colours in the two themes."""

from collections.abc import Sequence

THEMES = {"light": ((255, 255, 255), (47, 45, 43)), "dark": ((23, 22, 20), (237, 235, 232))}
"""Background and text of Streamlit's two themes."""


def contrast(one: Sequence[float], other: Sequence[float]) -> float:
    """Contrast ratio of two colours; colours are (red, green, blue) from 0 to 255. Source: WCAG 2.1."""

    def luminance(colour: Sequence[float]) -> float:
        parts = [part / 255 for part in colour]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
