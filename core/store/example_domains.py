"""Examples of a dataset: the domain of each, whose rows may lie in several, and which belong together."""

import pandas as pd

from .near_duplicates import near_duplicate_set_id
from .preference_pairs import with_whole_pairs
from .store import Store

EXAMPLE_DOMAINS = """
    SELECT example_id, arg_min(domain, row_number) AS domain FROM dataset_row WHERE dataset_id = ? GROUP BY example_id
"""
"""Examples of a dataset (the parameter), each once: example_id, domain."""


def example_domains(store: Store, dataset: str) -> pd.DataFrame:
    """Examples of a dataset, each once: example_id (text), domain. Raises `NotFound`."""
    sql = f"SELECT example_id::VARCHAR AS example_id, domain FROM ({EXAMPLE_DOMAINS})"
    return store.frame(sql, [store.dataset_id(dataset)])


def grouped_examples(store: Store, dataset: str, threshold: float) -> pd.DataFrame:
    """Examples of a dataset with their near-duplicates: example_id (text), domain, group. Those that have none are a
    group of their own, with a number below 0. The answers of a preference pair are in one group. Raises `NotFound`
    without a search at the threshold."""
    found = store.frame(
        f"""
        SELECT example_id::VARCHAR AS example_id, domain,
            coalesce(group_number, -row_number() OVER (ORDER BY example_id)) AS "group"
        FROM ({EXAMPLE_DOMAINS})
        LEFT JOIN (SELECT * FROM near_duplicate WHERE near_duplicate_set_id = ?) USING (example_id) ORDER BY 1
        """,
        [store.dataset_id(dataset), near_duplicate_set_id(store, dataset, threshold)],
    )
    return with_whole_pairs(store, dataset, found)
