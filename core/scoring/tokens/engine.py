"""Losses per token, with the last two models kept loaded. Imports torch; only the token worker uses it."""

import math
from collections import OrderedDict
from typing import Any

import torch

from ...data.encoded import Encoded
from ...data.errors import ModelUnusable, NothingScored
from ...data.examples import Example
from ...encoding.encode import encode_and_render, token_roles
from ...encoding.encoding_spec import EncodingSpec
from ...engine.loss_engine import LossEngine
from ...models.loading import load_model, load_tokenizer
from ...models.resolving import ModelSpec
from ...models.unchanged_files import unchanged_model
from .pieces import token_pieces

_MODELS_KEPT = 2  # a base and a reference


class TokenEngine:
    """Answers requests for one example each; keeps the two most recently used models loaded."""

    def __init__(self) -> None:
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._engines: OrderedDict[tuple[ModelSpec, str], LossEngine] = OrderedDict()
        self._tokenizers: dict[ModelSpec, Any] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Losses of every token of a conversation under each model.

        Request: conversation (`Example.to_json`), encoding (fields of EncodingSpec), base (fields of the ModelSpec
        whose tokenizer splits the text), dtype, and models (fields of a ModelSpec by role). Answer: pieces (text per
        token), scored (0 or 1 per token), roles (see `token_roles`), cut_characters (text beyond the maximum length),
        and nlls: for each role the loss of each token [nats], null if it is not scored or not finite. Raises
        `NothingScored` if nothing is scored, `ModelUnusable` if a model cannot be loaded or does not fit.
        """
        example, spec = Example.from_json(request["conversation"]), EncodingSpec(**request["encoding"])
        tokenizer = self._tokenizer(ModelSpec(**request["base"]), spec)
        ((encoded, _),) = encode_and_render([example], tokenizer, spec, with_turns=True)
        if encoded.reason is not None:
            raise NothingScored(f"No token of this row is scored: {encoded.reason}.")
        pieces, cut = token_pieces(example, encoded, tokenizer, spec)
        models = {role: ModelSpec(**fields) for role, fields in request["models"].items()}
        return {
            "pieces": pieces,
            "scored": encoded.scored.astype(int).tolist(),
            "roles": token_roles(example, encoded),
            "cut_characters": len(cut),
            "nlls": {role: self._nlls(model, request["dtype"], encoded) for role, model in models.items()},
        }

    def _nlls(self, spec: ModelSpec, dtype: str, encoded: Encoded) -> list[float | None]:
        engine = self._engine(spec, dtype)
        try:
            losses = iter(engine.token_losses(encoded).tolist())
        except torch.cuda.OutOfMemoryError as error:
            raise ModelUnusable(
                f"GPU memory ran out on this row of {len(encoded.input_ids):,} tokens. Free GPU memory and try again."
            ) from error
        by_token = [next(losses) if scored else math.nan for scored in encoded.scored]
        return [loss if math.isfinite(loss) else None for loss in by_token]

    def _engine(self, spec: ModelSpec, dtype: str) -> LossEngine:
        unchanged_model(spec).check()
        if (spec, dtype) not in self._engines:
            while len(self._engines) >= _MODELS_KEPT:  # before loading the next one: three may not fit
                self._engines.popitem(last=False)
            self._engines[spec, dtype] = self._loaded(spec, dtype)
        self._engines.move_to_end((spec, dtype))
        return self._engines[spec, dtype]

    def _loaded(self, spec: ModelSpec, dtype: str) -> LossEngine:
        try:
            return LossEngine(load_model(spec, dtype, self._device))
        except ModelUnusable as error:
            if not (self._engines and isinstance(error.__cause__, torch.cuda.OutOfMemoryError)):
                raise
        self._engines.clear()  # a GPU that fits either model may not fit both
        return LossEngine(load_model(spec, dtype, self._device))

    def _tokenizer(self, spec: ModelSpec, encoding: EncodingSpec) -> Any:
        unchanged_model(spec, encoding.tokenizer_fingerprint).check()
        if spec not in self._tokenizers:
            self._tokenizers = {spec: load_tokenizer(spec, encoding.tokenizer_fingerprint)}
        return self._tokenizers[spec]
