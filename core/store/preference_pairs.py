"""The examples of preference pairs: what trains on a pair's chosen answer must not judge its rejected one alone."""

import numpy as np
import pandas as pd

from .store import PAIRED_EXAMPLES, Store

REJECTED_ROWS = "SELECT rejected_row FROM preference_pair WHERE dataset_id = ?"
"""Numbers of a dataset's rows (the parameter) that are the rejected answer of a pair."""


def with_whole_pairs(store: Store, dataset: str, examples: pd.DataFrame) -> pd.DataFrame:
    """Examples of a dataset (example_id, group), with the groups joined that hold the two answers of one pair."""
    columns = "chosen::VARCHAR AS chosen, rejected::VARCHAR AS rejected"
    pairs = store.frame(f"SELECT {columns} FROM ({PAIRED_EXAMPLES}) WHERE dataset_id = ?", [store.dataset_id(dataset)])
    if pairs.empty:
        return examples
    # Here, because few datasets have pairs.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers, groups = pd.factorize(examples["group"])
    of_example = pd.Series(numbers, index=examples["example_id"])
    sides = (of_example[pairs["chosen"]].to_numpy(), of_example[pairs["rejected"]].to_numpy())
    graph = coo_array((np.ones(len(pairs), bool), sides), shape=(len(groups), len(groups)))
    joined = pd.Series(connected_components(graph, directed=False)[1][numbers], index=examples.index)
    return examples.assign(group=examples["group"].groupby(joined).transform("min"))
