"""Sentences on what was not scored in a run: rows without a score, and replies cut by the template."""

from ..data.reader import Reader


def unscored_sentences(store: Reader, table: str) -> list[str]:
    """A sentence for each reason why rows of a scored table have no scored token, the most frequent first, and one on
    replies cut by the chat template."""
    sentences = [
        f"{rows:,} of {total:,} rows have no score: {reason}"
        for reason, rows, total in store.rows(
            f"""
            SELECT rtrim(reason, '.') || '.', count(*) AS rows, (SELECT count(*) FROM {table})
            FROM {table} WHERE reason IS NOT NULL GROUP BY ALL ORDER BY rows DESC, 1
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
    return sentences
