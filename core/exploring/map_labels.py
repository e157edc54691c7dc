"""Labels of a map's regions: the words that tell a region's prompts from those of the others.

Regions are k-means clusters of places. A word's weight in a region is its class-based TF-IDF (arXiv 2203.05794):
its share of the region's words x log(1 + mean words of a region / its count in all regions).
"""

import re
from collections import Counter

import numpy as np
import pandas as pd

REGIONS = 12
_ROWS_A_REGION = 10
_WORDS = 2
_ROUNDS = 20
_WORD = re.compile(r"[^\W\d_]{3,}")


def region_labels(points: pd.DataFrame) -> pd.DataFrame:
    """Labels of the regions of points (x, y, text): x and y of a region's middle, and label (its most telling words,
    which at least two of its rows have). A region without such a word, or with the label of an earlier one, has none;
    nor have few rows any."""
    places = points[["x", "y"]].to_numpy(np.float64)
    count = min(REGIONS, len(points) // _ROWS_A_REGION, len(np.unique(places, axis=0)))
    if count < 2:
        return pd.DataFrame({"x": [], "y": [], "label": []})
    from scipy.cluster.vq import kmeans2  # here, because the dashboard should not wait for it

    _, region = kmeans2(places, count, _ROUNDS, minit="++", rng=0)
    words = [Counter[str]() for _ in range(count)]
    for number, text in zip(region.tolist(), points["text"], strict=True):
        words[number].update(set(_WORD.findall(text.casefold())))  # each once, so that one row says little
    every = sum(words, Counter[str]())
    mean = every.total() / count
    found: dict[str, tuple[float, float]] = {}
    for number, of_region in enumerate(words):
        weights = {
            word: times / of_region.total() * np.log1p(mean / every[word])
            for word, times in of_region.items()
            if times > 1
        }
        label = " ".join(sorted(weights, key=lambda word: (-weights[word], word))[:_WORDS])
        if label and label not in found:  # two regions of one label are told apart by neither
            found[label] = tuple(points.loc[region == number, ["x", "y"]].median())
    return pd.DataFrame([(x, y, label) for label, (x, y) in found.items()], columns=["x", "y", "label"])
