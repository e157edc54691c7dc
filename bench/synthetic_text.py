"""Synthetic dataset rows: word salad by domain, of log-normal length, with exact and near duplicates planted."""

from collections.abc import Iterator
from functools import cache

import numpy as np

from core.data.examples import DatasetRow, Example, Message, Rejected

EXACT_SHARE, NEAR_SHARE, REJECTED_SHARE = 0.02, 0.01, 0.0005
_LONGEST = 480  # words
_COMMON = (
    "the of and to in is that it for as with on are by this be from or an at which one have not all when there can how "
    "if so what more some they we you then than other into only over first after because most where between each both"
)
COMMON_WORDS = tuple(_COMMON.split())
"""Words of every domain, the most frequent first."""
_SYLLABLES = "ba ce di fo gu la me ni po ru sa te vi no ka le mi ro su ta ve zi do ha je qui bra ste tri plo"
_WORDS_OF_A_DOMAIN = 2_000
_VERBS = ("Explain", "Describe", "Compare", "List", "Summarise", "Rewrite", "Find", "Continue", "Prove", "Name")


def chunk_of_rows(numbers: range, domains: list[str], seed: int) -> Iterator[DatasetRow | Rejected]:
    """Rows of these numbers, and a few rejected records between them; duplicates copy an earlier row of the chunk.

    Domains have unequal shares. A near duplicate differs from what it copies in one word of its response.
    """
    random = np.random.default_rng([seed, numbers[0]])
    count = len(numbers)
    places = random.choice(len(domains), count, p=_domain_shares(len(domains)))
    medians = np.linspace(14, 42, len(domains))[places]
    response_words = np.clip(medians * np.exp(0.7 * random.standard_normal(count)), 1, _LONGEST).astype(int)
    prompt_words = np.clip(9 * np.exp(0.5 * random.standard_normal(count)), 3, 80).astype(int)
    prompts = _texts(places, prompt_words, len(domains), random)
    responses = _texts(places, response_words, len(domains), random)
    kinds = random.random(count)
    back = (random.random(count) ** 2 * np.arange(count)).astype(int)
    verbs = random.integers(0, len(_VERBS), count)
    rejected = random.random(count) < REJECTED_SHARE
    for i, number in enumerate(numbers):
        original = i
        if i and kinds[i] < EXACT_SHARE + NEAR_SHARE:
            original = i - 1 - back[i]
            places[i], verbs[i], prompts[i] = places[original], verbs[original], prompts[original]
            near = kinds[i] >= EXACT_SHARE
            responses[i] = _one_word_changed(responses[original]) if near else responses[original]
        prompt = f"{_VERBS[verbs[i]]} {prompts[i]}."
        yield _row(number, domains[places[i]], prompt, f"{responses[i].capitalize()}.")
        if rejected[i]:
            yield Rejected(number, "bad JSON", "{")


def _row(number: int, domain: str, prompt: str, response: str) -> DatasetRow:
    # Words are plain letters, so that the record needs no escaping.
    original = f'{{"instruction":"{prompt}","output":"{response}","domain":"{domain}"}}'
    return DatasetRow(
        number, domain, Example((Message("user", prompt), Message("assistant", response))), original.encode()
    )


def _domain_shares(count: int) -> np.ndarray:
    shares = 1 / np.arange(1, count + 1) ** 0.7
    return np.asarray(shares / shares.sum())


def _texts(places: np.ndarray, lengths: np.ndarray, domain_count: int, random: np.random.Generator) -> list[str]:
    """A text of `lengths[i]` words in the vocabulary of domain `places[i]`; frequent words are the first."""
    vocabularies = _vocabularies(domain_count)
    chosen = (random.random(int(lengths.sum())) ** 3 * vocabularies.shape[1]).astype(int)
    words = vocabularies[np.repeat(places, lengths), chosen].tolist()
    ends = np.cumsum(lengths).tolist()
    return [" ".join(words[end - length : end]) for end, length in zip(ends, lengths.tolist(), strict=True)]


@cache
def _vocabularies(domain_count: int) -> np.ndarray:
    """Words by domain: the common ones, then its own."""
    random = np.random.default_rng(0)
    syllables = _SYLLABLES.split()
    own = random.integers(0, len(syllables), (domain_count, _WORDS_OF_A_DOMAIN, 3))
    return np.array(
        [[*COMMON_WORDS, *("".join(syllables[part] for part in word) for word in words)] for words in own], dtype=object
    )


def _one_word_changed(text: str) -> str:
    """A near duplicate: the middle word is another, and a word is added."""
    words = text.split(" ")
    words[len(words) // 2] = "otherwise"
    return " ".join([*words, "indeed"])
