"""Losses per token of one row, under base and reference: from the cache, or computed by the warm token worker."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...data.errors import NotFound, NothingScored, TokensUnavailable
from ...data.loss_roles import missing_roles_sentence
from ...data.version import COMMAND
from ...models.resolving import ModelSpec, resolve_model
from ...store import Store
from ...store.token_cache import cached_tokens, save_tokens
from ..planning import ROLES
from ..reference_kind import SHIPPED
from .token_process import TokenProcess

_NOT_SHIPPED = (
    f"The fine-tuned models of this demo are not part of the program, so tokens have no losses here. Train them with: "
    f"{COMMAND} demo"
)
_AGREEMENT = {"float32": 1e-4, "bfloat16": 0.02}
"""Tolerance between a sum over tokens and the row's NLL sum, as a share of it: the row was computed in a batch, perhaps
on another device."""


@dataclass(frozen=True, slots=True)
class TokenLosses:
    """The tokens of one row in order: text, whether scored, and loss under both models [nats].

    A loss is None if the token is not scored or the loss is not finite. `roles` gives the role of each token's turn, or
    "template" for text added by the template; empty in caches of version 0.5.0. `cut_characters` of the conversation
    exceed the maximum length. `doubts` are warnings about losses that do not add up to the row's score.
    """

    pieces: tuple[str, ...]
    scored: tuple[bool, ...]
    base: tuple[float | None, ...]
    reference: tuple[float | None, ...]
    cut_characters: int = 0
    doubts: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

    @property
    def differences(self) -> tuple[float | None, ...]:
        """Base minus reference loss of each token [nats]: the gain from fine-tuning."""
        pairs = zip(self.base, self.reference, strict=True)
        return tuple(None if base is None or reference is None else base - reference for base, reference in pairs)

    def nll_sum(self, role: str) -> float | None:
        """Sum over the scored tokens under one model [nats]; None if one of them is not finite."""
        losses = self.base if role == "base" else self.reference
        return _nll_sum(self.scored, losses)


class TokenScorer:
    """Provides token losses to pages. Owned by the store's owner, and closed before the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._process = TokenProcess(store.workspace)

    @property
    def process_id(self) -> int | None:
        """Process id of the warm worker, or None."""
        return self._process.process_id

    def cached(self, run: str, row_number: int) -> TokenLosses | None:
        """The row's token losses if they are cached. Raises `NotFound`, or `NothingScored` with the reason if no token
        of the row is scored."""
        return self._cached(self._row(run, row_number))

    def token_losses(self, run: str, row_number: int) -> TokenLosses:
        """The row's token losses, from the cache or computed; the first call loads both models.

        Losses that do not add up to the row's score are returned with `doubts` and not cached: the model's files have
        changed since scoring. Raises like `cached`, and `TokensUnavailable` if they cannot be computed.
        """
        row = self._row(run, row_number)
        return self._cached(row) or self._compute(row)

    def release(self) -> None:
        """Free the memory of warm models, unless a row is being computed."""
        self._process.release()

    def close(self) -> None:
        """End the worker."""
        self._process.close()

    def _row(self, run: str, row_number: int) -> "_Row":
        found = self.store.rows(
            f"""
            SELECT r.example_id::VARCHAR, conversation, description, role, loss_set_id, nll_sum, reason
            FROM run JOIN dataset_row r USING (dataset_id) JOIN example USING (example_id) JOIN run_loss USING (run_id)
            LEFT JOIN loss USING (loss_set_id, example_id)
            WHERE run.name = ? AND row_number = {int(row_number)} AND list_contains(?, role)
            """,
            [run, list(ROLES)],
        )
        if not found:
            raise NotFound(f"The run {run!r} has no row {row_number:,}. Choose a row from the table.")
        example_id, conversation, description = found[0][:3]
        losses = {role: (loss_set, nll_sum, reason) for *_, role, loss_set, nll_sum, reason in found}
        if missing := missing_roles_sentence("The view of tokens", ROLES, losses):
            raise TokensUnavailable(missing)
        reason = next((reason for *_, reason in (losses[role] for role in ROLES) if reason is not None), None)
        if reason is not None:
            raise NothingScored(f"No token of this row is scored: {reason}.")
        settings, judge = json.loads(description), "reference"
        if "cross_fitted" in settings:
            judge, losses["reference"] = self._unseen_model(settings, example_id)
        sets, sums = ({role: losses[role][place] for role in ROLES} for place in (0, 1))
        return _Row(example_id, conversation, settings, sets, sums, judge)

    def _unseen_model(self, settings: dict[str, Any], example_id: str) -> tuple[str, tuple[int, float | None, None]]:
        """The first model of a cross-fitted reference that was not trained on an example: its name in the run's
        settings, and its loss."""
        for one in settings["cross_fitted"]["models"]:
            fingerprint = settings["model_fingerprints"][one["role"]]
            found = self.store.rows(
                """
                SELECT loss_set_id, nll_sum FROM loss_set JOIN loss USING (loss_set_id)
                WHERE model_fingerprint = $1 AND encoding_fingerprint = $2 AND example_id = $3::UUID
                AND example_id NOT IN (SELECT example_id FROM trained_example WHERE model_fingerprint = $1)
                """,
                [fingerprint, settings["encoding_fingerprint"], example_id],
            )
            if found:
                return one["role"], (*found[0], None)
        raise TokensUnavailable("No model of the reference has scored this row without having seen it. Score again.")

    def _cached(self, row: "_Row") -> TokenLosses | None:
        saved = cached_tokens(self.store, list(row.loss_sets.values()), row.example_id)
        if not saved.keys() >= set(row.loss_sets.values()):
            return None
        fields = {role: saved[loss_set] for role, loss_set in row.loss_sets.items()}
        return _token_losses(fields["base"], {role: fields[role]["nlls"] for role in ROLES})

    def _compute(self, row: "_Row") -> TokenLosses:
        answer = self._process.ask(row.request(self.store.workspace))
        nlls = answer.pop("nlls")
        computed = _token_losses(answer, nlls)
        doubts = {role: doubt for role in ROLES if (doubt := row.doubt(role, computed.nll_sum(role)))}
        sound = [role for role in ROLES if role not in doubts and row.nll_sums[role] is not None]
        save_tokens(self.store, row.example_id, {row.loss_sets[role]: {**answer, "nlls": nlls[role]} for role in sound})
        return replace(computed, doubts=tuple(doubts.values()))


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a run: its example, the run's description, and by role the loss set and the stored NLL sum [nats].
    `judge`: the name of the reference model in the description."""

    example_id: str
    conversation: str
    description: dict[str, Any]
    loss_sets: dict[str, int]
    nll_sums: dict[str, float | None]
    judge: str

    def request(self, workspace: Path) -> dict[str, Any]:
        """The request to the worker."""
        if "models" not in self.description:
            raise TokensUnavailable("This run does not record where its models are. Score the dataset again.")
        models = self.description["models"]
        if SHIPPED in self.description and not Path(models[self.judge]["path"]).is_dir():
            # Its name is of the form of a Hub id: nothing may be asked for it there.
            raise TokensUnavailable(_NOT_SHIPPED)
        base = _where_it_is(ModelSpec(**models["base"]), workspace, None)
        reference = _where_it_is(ModelSpec(**models[self.judge]), workspace, base)
        return {
            "conversation": self.conversation,
            "encoding": self.description["encoding"],
            "dtype": self.description["dtype"],
            "base": base.to_fields(),
            "models": {"base": base.to_fields(), "reference": reference.to_fields()},
        }

    def doubt(self, role: str, nll_sum: float | None) -> str | None:
        """A warning if a role's token losses do not add up to the stored sum."""
        stored = self.nll_sums[role]
        if stored is None or nll_sum is None:
            return None
        if abs(nll_sum - stored) <= _AGREEMENT[self.description["dtype"]] * max(1.0, abs(stored)):
            return None
        label = self.description["models"][self.judge if role == "reference" else role]["label"]
        return (
            f"The {role}'s token losses add up to {nll_sum:,.4f} nats, but the row's score uses {stored:,.4f}: "
            f"the model {label!r} or its tokenizer has changed since. Score the dataset again."
        )


def _where_it_is(spec: ModelSpec, workspace: Path, base: ModelSpec | None) -> ModelSpec:
    """The model recorded in the run; resolved again by name if its folder moved, as in a copied workspace. The hash is
    the recorded one: the worker refuses other weights of the same name."""
    if Path(spec.path).is_dir() and (spec.adapter is None or Path(spec.adapter).is_dir()):
        return spec
    return replace(resolve_model(spec.label, workspace, base), weights_hash=spec.weights_hash)


def _token_losses(fields: Mapping[str, Any], nlls: Mapping[str, list[float | None]]) -> TokenLosses:
    base, reference = (tuple(nlls[role]) for role in ROLES)
    scored = tuple(bool(flag) for flag in fields["scored"])
    roles = tuple(fields.get("roles", ()))
    return TokenLosses(tuple(fields["pieces"]), scored, base, reference, fields["cut_characters"], roles=roles)


def _nll_sum(scored: tuple[bool, ...], losses: tuple[float | None, ...]) -> float | None:
    counted = [loss for loss, counts in zip(losses, scored, strict=True) if counts]
    finite = [loss for loss in counted if loss is not None]
    return math.fsum(finite) if len(finite) == len(counted) else None
