"""Sentences on what was not scored in a run: rows without a score, replies cut by the template, and losses of earlier
versions without those of end-of-turn tokens."""

from ..data.reader import Reader

REASON = "coalesce(reason, CASE WHEN not_scored THEN 'not scored yet' END)"
"""SQL of why a row of a scored table has no scored token or no loss; NULL if it has."""


def unscored_sentences(store: Reader, table: str) -> list[str]:
    """A sentence for each reason why rows of a scored table have no scored token, the most frequent first; one on
    replies cut by the chat template; and one on losses of earlier versions without those of end-of-turn tokens."""
    sentences = [
        f"{rows:,} of {total:,} rows have no score: {reason}"
        for reason, rows, total in store.rows(
            f"""
            SELECT rtrim({REASON}, '.') || '.', count(*) AS rows, (SELECT count(*) FROM {table})
            FROM {table} WHERE {REASON} IS NOT NULL GROUP BY ALL ORDER BY rows DESC, 1
            """
        )
    ]
    rows, total, share = store.rows(
        f"SELECT count_if(cut_by_template), count(*), avg(left_out) FILTER (cut_by_template) FROM {table}"
    )[0]
    if rows:
        sentences.append(
            f"In {rows:,} of {total:,} rows, the chat template drops part of the reply, {share:.0%} on average (flag "
            "cut_by_template)."
        )
    (lacking,) = store.rows(
        f"""
        SELECT count_if((base_nll_sum IS NOT NULL AND base_end_nll_sum IS NULL)
            OR (reference_nll_sum IS NOT NULL AND reference_end_nll_sum IS NULL))
        FROM {table}
        """
    )[0]
    if lacking:
        sentences.append(
            f"In {lacking:,} of {total:,} rows, the scores about the end of turn are empty: an earlier version "
            "computed the losses. Score the data in a new workspace to have them."
        )
    return sentences


def partial_runs(store: Reader) -> dict[str, str]:
    """The runs whose scoring has not ended, by name, each with how many of its rows are scored: "225 of 280 rows
    scored"."""
    # In a run's description as it is stored, no other text can look like this: quotes within texts are escaped.
    found = store.rows("SELECT name, run_id FROM run WHERE contains(description, '\"partial\": true') ORDER BY run_id")
    counts = {
        name: store.rows(f"SELECT count(base_loss + reference_loss), count(*) FROM scored_{int(run_id)}")[0]
        for name, run_id in found
    }
    return {name: f"{scored:,} of {rows:,} rows scored" for name, (scored, rows) in counts.items()}
