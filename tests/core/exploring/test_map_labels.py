"""Labels of a map's regions: planted words come out where they were planted, and words of all regions nowhere."""

import numpy as np
import pandas as pd

from core.exploring.map_labels import region_labels


def test_the_words_of_a_region_that_others_lack_are_its_label() -> None:
    random = np.random.default_rng(1)
    kinds = ["harbour ships", "apples pears", "python loops", "rivers towns"]
    middles = np.array([(0, 0), (50, 0), (0, 50), (50, 50)])
    of = np.arange(200) % 4
    x, y = (middles[of] + random.normal(size=(200, 2))).T
    text = [f"Please tell what 12 {kinds[kind]} are, <b>now</b> {number}" for number, kind in enumerate(of)]
    found = region_labels(pd.DataFrame({"x": x, "y": y, "text": text}))
    assert 4 <= len(found) <= 12
    for row in found.itertuples():
        nearest = np.abs(middles - (row.x, row.y)).sum(1).argmin()
        assert set(str(row.label).split()) == set(kinds[nearest].split())


def test_few_rows_and_rows_of_one_place_have_no_more_labels_than_regions() -> None:
    one = pd.DataFrame({"x": [1.0] * 30, "y": [1.0] * 30, "text": ["ships sail"] * 30})
    assert len(region_labels(one)) <= 1
    assert region_labels(one[:5]).empty


def test_regions_of_one_kind_have_their_label_once() -> None:
    places = pd.DataFrame(
        [(place * 10 + near / 100, 0.0) for place in range(4) for near in range(15)], columns=["x", "y"]
    )
    labels = region_labels(places.assign(text="count the apples"))
    assert labels["label"].tolist() == ["apples count"]
