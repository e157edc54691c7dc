"""The scores: one table of name, formula, direction, SQL and numpy; and scores that were imported, by name.

To add a score, add a `Score` here; the command line, the pages, exports and tests read this table. Existing runs get
its column when their workspace is next opened, without computing losses again.
SQL sees one row of a scored table: token_count [tokens] and, for each role of `loss_roles` that a score needs,
<role>_nll_sum [nats] and <role>_loss [nats per token], the sum over token_count. end_token_count and <role>_end_nll_sum
are the part of them on tokens that end a reply, NULL for losses that versions up to 0.7.0 computed. numpy sees arrays
of the same names.
The scores of a run are those of the table whose roles it has, and those imported for its dataset (`scores_of`). An
imported score has its name and what follows from it; its origin is in the store.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .errors import SelectionInvalid
from .json_types import shown
from .loss_roles import IMPORTED, LOSS_ROLES, PAIRS, is_imported

Columns = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Score:
    """One score of an example.

    Where the score is undefined, `sql` gives NULL and `compute` gives NaN; elsewhere they are equal (tested).
    `higher_means` is the meaning of a high value, for people.

    `roles`: the losses it needs (`loss_roles`); it is NULL in a run that lacks one of them. `relative`: it depends on
    the dataset's other rows, so it may change when rows are added; its SQL also sees the other scores and the columns
    of `RELATIVE_TO`, and it has no numpy.
    `is_ratio`: also defined for a group of rows, from their sums. `never_negative`: can be drawn on a log axis.
    """

    name: str
    label: str
    formula: str
    unit: str
    higher_means: str
    sql: str
    compute: Callable[[Columns], NDArray[np.float64]] | None
    roles: tuple[str, ...] = ("base", "reference")
    is_ratio: bool = True
    never_negative: bool = False
    relative: bool = False

    @property
    def is_of_pairs(self) -> bool:
        """Whether it is a value of a preference pair, which both its rows have."""
        return PAIRS in self.roles


LENGTH_BANDS = 10
RELATIVE_TO = {
    "length_band": "tenth of the domain's rows by response length, equal lengths in one",
    "lowest_base_losses": "the two lowest base losses of different responses to the row's prompt; NULL if it has one",
    "chosen_reward": "implicit reward of the chosen answer of the row's preference pair",
    "rejected_reward": "implicit reward of the rejected one",
    "chosen_learnability": "learnability of the chosen answer of the row's preference pair",
    "rejected_learnability": "learnability of the rejected one",
    "dpo_beta": "the setting",
}
"""Columns that relative scores see."""


def _rank_within(*groups: str) -> str:
    """SQL of a row's learnability as the share of the group's other scored rows that have less of it."""
    rows = ", ".join((*groups, "learnability IS NULL"))
    return (
        f"CASE WHEN learnability IS NOT NULL THEN percent_rank() OVER (PARTITION BY {rows} ORDER BY learnability) END"
    )


def _share_of_base(columns: Columns, nats: NDArray[np.float64]) -> NDArray[np.float64]:
    base = columns["base_nll_sum"]
    return np.divide(nats, base, out=np.full_like(base, np.nan), where=base > 0)


def _learnability(columns: Columns) -> NDArray[np.float64]:
    return _share_of_base(columns, columns["base_nll_sum"] - columns["reference_nll_sum"])


def _learnability_without_end(columns: Columns) -> NDArray[np.float64]:
    base = columns["base_nll_sum"] - columns["base_end_nll_sum"]
    reference = columns["reference_nll_sum"] - columns["reference_end_nll_sum"]
    is_defined = (columns["end_token_count"] < columns["token_count"]) & (base > 0)
    return np.divide(base - reference, base, out=np.full_like(base, np.nan), where=is_defined)


def _end_share_of_gain(columns: Columns) -> NDArray[np.float64]:
    gain = columns["base_nll_sum"] - columns["reference_nll_sum"]
    end_gain = columns["base_end_nll_sum"] - columns["reference_end_nll_sum"]
    return np.divide(end_gain, gain, out=np.full_like(gain, np.nan), where=gain != 0)


# A reply may be nothing but its end of turn: sums in another order then leave a difference that is only rounding.
_BASE_WITHOUT_END = (
    "CASE WHEN end_token_count < token_count AND base_nll_sum > base_end_nll_sum "
    "THEN base_nll_sum - base_end_nll_sum END"
)

SCORES = {
    score.name: score
    for score in (
        Score(
            "learnability",
            "Learnability",
            "(base loss − reference loss) / base loss",
            "share of the base loss",
            "fine-tuning removed a larger share of the base loss, so this base learns more from the row",
            "(base_nll_sum - reference_nll_sum) / nullif(base_nll_sum, 0)",
            _learnability,
        ),
        Score(
            "loss_difference",
            "Loss difference",
            "base loss − reference loss",
            "nats per token",
            "fine-tuning removed more loss per token; favours rows with a high base loss",
            "base_loss - reference_loss",
            lambda columns: columns["base_loss"] - columns["reference_loss"],
        ),
        Score(
            "implicit_reward",
            "Implicit reward",
            "base NLL sum − reference NLL sum",
            "nats per response",
            "fine-tuning removed more loss from the whole response; a sum, so it favours long rows",
            "base_nll_sum - reference_nll_sum",
            lambda columns: columns["base_nll_sum"] - columns["reference_nll_sum"],
            is_ratio=False,
        ),
        Score(
            "learnability_without_end",
            "Learnability without end of turn",
            "(base loss − reference loss) / base loss, without the tokens that end a reply",
            "share of the base loss",
            "fine-tuning removed a larger share of the base loss of the reply's own text",
            "((base_nll_sum - base_end_nll_sum) - (reference_nll_sum - reference_end_nll_sum)) / "
            f"({_BASE_WITHOUT_END})",
            _learnability_without_end,
        ),
        Score(
            "end_share_of_gain",
            "End-of-turn share of the gain",
            "(base loss − reference loss) of the tokens that end a reply / (base loss − reference loss) of all tokens",
            "share of the gain",
            "more of what fine-tuning gained is ending the reply, and less is its text",
            "(base_end_nll_sum - reference_end_nll_sum) / nullif(base_nll_sum - reference_nll_sum, 0)",
            _end_share_of_gain,
        ),
        Score(
            "base_loss",
            "Base loss",
            "base NLL sum / tokens",
            "nats per token",
            "the base model predicts the response less well",
            "base_loss",
            lambda columns: columns["base_loss"],
            roles=("base",),
            never_negative=True,
        ),
        Score(
            "reference_loss",
            "Reference loss",
            "reference NLL sum / tokens",
            "nats per token",
            "the reference model predicts the response less well, even after fine-tuning",
            "reference_loss",
            lambda columns: columns["reference_loss"],
            roles=("reference",),
            never_negative=True,
        ),
        Score(
            "base_perplexity",
            "Base perplexity",
            "exp(base loss)",
            "perplexity",
            "the base model predicts the response less well",
            "exp(base_loss)",
            lambda columns: np.exp(columns["base_loss"]),
            roles=("base",),
            never_negative=True,
        ),
        Score(
            "bits_per_token",
            "Bits per token",
            "base loss / ln 2",
            "bits per token",
            "the base model needs more bits to encode a token of the response",
            "base_loss / ln(2)",
            lambda columns: columns["base_loss"] / np.log(2),
            roles=("base",),
            never_negative=True,
        ),
        Score(
            "ifd",
            "IFD (loss ratio)",
            "base loss / base loss of the response without its prompt",
            "ratio",
            "the prompt helps the base less to predict the response; above 1 it hinders (Cherry_LLM drops those rows)",
            "base_loss / nullif(base_alone_loss, 0)",
            lambda columns: np.divide(
                columns["base_loss"],
                columns["base_alone_loss"],
                out=np.full_like(columns["base_loss"], np.nan),
                where=columns["base_alone_loss"] > 0,
            ),
            roles=("base", "base_alone"),
            never_negative=True,
        ),
        Score(
            "ifd_perplexity",
            "IFD (perplexity ratio)",
            "exp(base loss − base loss of the response without its prompt)",
            "ratio",
            "the prompt helps the base less to predict the response (Superfiltering's form, which ranks otherwise)",
            "exp(base_loss - base_alone_loss)",
            lambda columns: np.exp(columns["base_loss"] - columns["base_alone_loss"]),
            roles=("base", "base_alone"),
            never_negative=True,
        ),
        Score(
            "pvi_like",
            "PVI-like",
            "(reference NLL sum without the prompt − reference NLL sum) / ln 2",
            "bits per response",
            "the prompt tells the reference more of the response; PVI itself compares with one trained without prompts",
            "(reference_alone_nll_sum - reference_nll_sum) / ln(2)",
            lambda columns: (columns["reference_alone_nll_sum"] - columns["reference_nll_sum"]) / np.log(2),
            roles=("reference", "reference_alone"),
            is_ratio=False,
        ),
        Score(
            "pvi",
            "PVI",
            "(null reference NLL sum − reference NLL sum) / ln 2",
            "bits per response",
            "the prompt tells more of the response to models that were trained on other rows like it",
            "(null_reference_nll_sum - reference_nll_sum) / ln(2)",
            lambda columns: (columns["null_reference_nll_sum"] - columns["reference_nll_sum"]) / np.log(2),
            roles=("reference", "null_reference"),
            is_ratio=False,
        ),
        Score(
            "grape_margin",
            "Margin over other responses",
            "lowest base loss of the other responses to the same prompt − base loss",
            "nats per token",
            "above 0: of several responses to one prompt, the base predicts this one best (GRAPE's choice)",
            "if(base_loss > lowest_base_losses[1], lowest_base_losses[1], lowest_base_losses[2]) - base_loss",
            None,
            roles=("base",),
            is_ratio=False,
            relative=True,
        ),
        Score(
            "learnability_quantile",
            "Learnability quantile in the domain",
            "share of the domain's other rows with a lower learnability",
            "share of rows",
            "it has more learnability than most rows of its domain, so domains can be ranked together",
            _rank_within("domain"),
            None,
            is_ratio=False,
            never_negative=True,
            relative=True,
        ),
        Score(
            "learnability_in_length_band",
            "Learnability quantile at its length",
            f"share of the other rows with a lower learnability in one of the domain's {LENGTH_BANDS} length bands",
            "share of rows",
            "it has more learnability than most rows of its domain that are about as long, so length counts less",
            _rank_within("domain", "length_band"),
            None,
            is_ratio=False,
            never_negative=True,
            relative=True,
        ),
        Score(
            "own_learnability",
            "Learnability, seen in training",
            "(base loss − own loss) / base loss",
            "share of the base loss",
            "the models trained on the row removed a larger share of its base loss; part of it is memory",
            "(base_nll_sum - own_nll_sum) / nullif(base_nll_sum, 0)",
            lambda columns: _share_of_base(columns, columns["base_nll_sum"] - columns["own_nll_sum"]),
            roles=("base", "own"),
        ),
        Score(
            "memory_gap",
            "Memory gap",
            "(reference loss − own loss) / base loss",
            "share of the base loss",
            "models trained on the row predict it better than those that never saw it: it was memorised",
            "(reference_nll_sum - own_nll_sum) / nullif(base_nll_sum, 0)",
            lambda columns: _share_of_base(columns, columns["reference_nll_sum"] - columns["own_nll_sum"]),
            roles=("base", "reference", "own"),
        ),
        Score(
            "learnability_spread",
            "Spread over seeds",
            "standard deviation of learnability over the seeds",
            "share of the base loss",
            "references that differ only in their seed disagree about the row",
            "seed_spread_nll_sum / nullif(base_nll_sum, 0)",
            lambda columns: _share_of_base(columns, columns["seed_spread_nll_sum"]),
            roles=("base", "seed_spread"),
            is_ratio=False,
            never_negative=True,
        ),
        Score(
            "preference_margin",
            "Preference margin",
            "implicit reward of the chosen answer − implicit reward of the rejected one",
            "nats per pair",
            "the reference moved further from the base towards the chosen answer; below 0 towards the rejected one",
            "chosen_reward - rejected_reward",
            None,
            roles=("base", "reference", PAIRS),
            is_ratio=False,
            relative=True,
        ),
        Score(
            "normalised_margin",
            "Normalised margin",
            "learnability of the chosen answer − learnability of the rejected one",
            "share of the base losses",
            "fine-tuning removed a larger share of the loss of the chosen answer; answers' lengths count less",
            "chosen_learnability - rejected_learnability",
            None,
            roles=("base", "reference", PAIRS),
            is_ratio=False,
            relative=True,
        ),
        Score(
            "dpo_loss",
            "DPO loss",
            "−log sigmoid(beta × preference margin), beta from the settings",
            "nats per pair",
            "the reference has learned the preference less, or the contrary; ln 2 where it is the base",
            "greatest(dpo_beta * (rejected_reward - chosen_reward), 0) "
            "+ ln(1 + exp(-dpo_beta * abs(chosen_reward - rejected_reward)))",
            None,
            roles=("base", "reference", PAIRS),
            is_ratio=False,
            never_negative=True,
            relative=True,
        ),
    )
}
"""Definitions: LoBaSS / DavIR (arXiv 2310.13008) for `learnability`; RHO-LM (arXiv 2404.07965), mean and sum
form, for `loss_difference` and `implicit_reward`; GRAPE (arXiv 2502.04194) for `grape_margin`, whose sign is its
choice; Cherry_LLM (arXiv 2308.12032) and Superfiltering (arXiv 2402.00530) for `ifd` and `ifd_perplexity`;
V-information (arXiv 2110.08420) for `pvi`, and what `pvi_like` is like; DPO (arXiv 2305.18290) for
`preference_margin` (its implicit reward margin at beta 1) and `dpo_loss`; DavIR-DPO for `normalised_margin`; the rest
are the losses themselves, used as controls, and ranks of learnability."""

DEFAULT_SCORE = "learnability"

FLAGS = {
    "truncated": "the response was truncated at the maximum length, so only its start was scored",
    "cut_by_template": "the chat template drops part of the reply, such as earlier reasoning, so it was not scored",
    "low_base_loss": "the base loss is so small that learnability is unreliable",
    "unresolved": "the two losses differ by less than the measured numerical noise",
    "non_finite": "a model returned a loss that is not finite, so there is no score",
    "zero_base_loss": "the base loss is zero, so learnability is undefined",
    "no_scored_token": "no token of the response is left to score",
    "not_scored": "a loss has not been computed yet or could not be computed",
    "trained_on": "the reference was trained on this row, so part of its gain may be memorisation",
    "duplicate": "an earlier row of the dataset has the same conversation",
    "short_response": "so few tokens are scored that the end-of-turn token can be most of the gain",
    "repetitive": "much of the response repeats word sequences that stand earlier in it",
    "copies_prompt": "much of the response is word sequences that occur in the prompt",
}
"""All flags of a row and their meanings."""

TEXT_FLAGS = ("short_response", "repetitive", "copies_prompt")
"""The flags about a response's text."""

QUALITY_FLAGS = tuple(flag for flag in FLAGS if flag not in ("trained_on", "duplicate", *TEXT_FLAGS))
"""The flags about how well a row's losses were measured; the others are about what the score means."""


def needed_roles() -> list[str]:
    """The roles that any score needs, in the order of `LOSS_ROLES`."""
    needed = {role for score in SCORES.values() for role in score.roles}
    return [name for name in LOSS_ROLES if name in needed]


def scores_of(roles: Collection[str]) -> list[str]:
    """Names of the scores that a run with these roles has, its imported scores (which are among the roles) last."""
    found = [score.name for score in SCORES.values() if all(role in roles for role in score.roles)]
    return [*found, *(role for role in roles if is_imported(role))]


def is_score(name: str) -> bool:
    """Whether this is the name of a score: of the table, or imported."""
    return name in SCORES or is_imported(name)


def score_named(name: str) -> Score:
    """The score of that name: of the table, or imported. Raises `SelectionInvalid`, which lists the valid names."""
    if name in SCORES:
        return SCORES[name]
    if is_imported(name):
        return _imported(name)
    raise SelectionInvalid(
        f"Unknown score {shown(name)}. Must be one of: {', '.join(SCORES)}, or an imported one ({IMPORTED}NAME)."
    )


@cache
def _imported(name: str) -> Score:
    column = name.removeprefix(IMPORTED)
    return Score(
        name,
        f"{column} (imported)",
        f"the imported column {column}",
        "",
        "what its source says, which Data shows under Imported scores",
        name,
        lambda columns: columns[name],
        roles=(name,),
        is_ratio=False,
    )
