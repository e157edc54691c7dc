"""Losses combined from those of several models: means over models that have, or have not, seen a row in training."""

from collections.abc import Sequence
from enum import StrEnum

from ..jobs.shards import SHARD_SCHEMA
from .store import Store


class Combination(StrEnum):
    """How the losses of a row are combined."""

    UNSEEN = "unseen"
    """Mean over the models that were not trained on the row."""
    OWN = "own"
    """Mean over the models that were."""
    SPREAD = "spread"
    """Sample standard deviation, over the groups of models, of their means over models not trained on the row."""


def combine_losses(store: Store, target: int, groups: Sequence[Sequence[int]], dataset: str, how: Combination) -> int:
    """Add to the loss set `target` the combined losses of a dataset's examples that it lacks; returns how many.

    `groups`: ids of loss sets, one group for each seed. Which examples a model has seen is what `record_training`
    recorded. An example is left out until all the models that count for it have a loss.
    """
    sets = [(seed, loss_set) for seed, members in enumerate(groups) for loss_set in members]
    marks = ", ".join("(?::INTEGER, ?::INTEGER)" for _ in sets)
    seen = "t.example_id IS NOT NULL" if how is Combination.OWN else "t.example_id IS NULL"
    combine = "stddev_samp" if how is Combination.SPREAD else "avg"
    sql = f"""
        WITH member(seed, loss_set_id) AS (VALUES {marks}),
        wanted AS (
            SELECT DISTINCT example_id FROM dataset_row WHERE dataset_id = ?
            AND example_id NOT IN (SELECT example_id FROM loss WHERE loss_set_id = ?)
        ),
        counted AS (
            SELECT seed, m.loss_set_id, w.example_id
            FROM wanted w CROSS JOIN member m JOIN loss_set s USING (loss_set_id)
            LEFT JOIN trained_example t ON t.model_fingerprint = s.model_fingerprint AND t.example_id = w.example_id
            WHERE {seen}
        ),
        found AS (
            SELECT c.example_id, seed, l.*  EXCLUDE (loss_set_id, example_id), l.example_id IS NOT NULL AS is_there
            FROM counted c LEFT JOIN loss l ON l.loss_set_id = c.loss_set_id AND l.example_id = c.example_id
        ),
        by_seed AS (
            SELECT example_id, seed, avg(nll_sum) AS nats, max(token_count) AS token_count,
                bool_or(truncated) AS truncated, max(reason) AS reason, max(left_out) AS left_out,
                bool_and(is_there) AS is_there, max(end_token_count) AS end_token_count,
                if(bool_and(end_nll_sum IS NOT NULL), avg(end_nll_sum), NULL) AS end_nats
            FROM found GROUP BY ALL
        )
        SELECT example_id::VARCHAR AS example_id, {combine}(nats) AS nll_sum, max(token_count)::INTEGER AS token_count,
            bool_or(truncated) AS truncated, max(reason) AS reason, max(left_out) AS left_out,
            if(bool_and(end_nats IS NOT NULL), {combine}(end_nats), NULL) AS end_nll_sum,
            max(end_token_count)::INTEGER AS end_token_count
        FROM by_seed GROUP BY example_id HAVING bool_and(is_there) ORDER BY example_id
    """
    values = [number for pair in sets for number in pair]
    losses = store.arrow(sql, [*values, store.dataset_id(dataset), target])
    if not losses.num_rows:
        return 0
    held = store.rows("SELECT count(*) FROM shard WHERE loss_set_id = ?", [target])[0][0]
    return store.ingest_shard(f"combined-{target}-{held}", target, losses.cast(SHARD_SCHEMA))
