"""Text measures of each example: how much of its response repeats itself or occurs in its prompt, and which prompt.

They depend on the text alone, so they are computed once per example, when it is imported. A word is what stands between
white space; each Chinese or Japanese character is a word of its own.
"""

import duckdb

from .connection import fetch_all

# The share of repeated sequences, not a compression ratio: responses compress the better the longer they are. Of 7,532
# real responses of 20 words or more and the same ones with a second half that loops, the limit that flags 1 % of the
# real ones flags 99.9 % of the looping ones by sequences of 4 words, and 52 % of them by zlib's ratio.
_SEQUENCE_WORDS = 4
_ALONE = r"\p{Han}\p{Hiragana}\p{Katakana}"


def _words(column: str) -> str:
    return f"regexp_extract_all({column}, '[{_ALONE}]|[^\\s{_ALONE}]+')"


def _sequences(words: str) -> str:
    """Hashes of all sequences of a list of words, in their order."""
    sequence = ", ".join(f"{words}[i + {place}]" for place in range(_SEQUENCE_WORDS))
    return f"list_transform(range(1, len({words}) + 2 - {_SEQUENCE_WORDS}), lambda i: hash({sequence}))"


_MEASURES = f"""
    WITH words AS (
        SELECT example_id, {_words("prompt")} AS prompt, {_words("response")} AS response,
            md5_number_lower(example.prompt) AS prompt_key
        FROM example
        WHERE example_id NOT IN (SELECT example_id FROM text_measure)
    ), sequences AS (
        SELECT example_id, {_sequences("prompt")} AS prompt, {_sequences("response")} AS response, prompt_key
        FROM words
    ), different AS (
        SELECT example_id, prompt_key, prompt, len(response) AS all_count, list_distinct(response) AS response
        FROM sequences
    )
    INSERT INTO text_measure SELECT
        example_id,
        1 - len(response) / nullif(all_count, 0) AS repeated_share,
        len(list_intersect(response, prompt)) / nullif(len(response), 0) AS copied_share,
        prompt_key
    FROM different
"""


def measure_texts(connection: duckdb.DuckDBPyConnection) -> None:
    """Measure the examples that have no measures yet; only for the writer.

    `repeated_share`: repeated sequences over all sequences of the response; `copied_share`: its different sequences
    that occur in the prompt, over its different sequences. Both are NULL for a response of fewer words. `prompt_key` is
    a hash of the prompt, the same in every version of DuckDB.
    """
    fetch_all(connection, _MEASURES)
