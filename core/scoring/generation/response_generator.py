"""A model's responses to prompts, in batches, by transformers' own `generate`.

A row draws each token by one random number of its own (inverse transform sampling), so that its response does not
depend on what else is in the batch, apart from rounding.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.generation import TemperatureLogitsWarper, TopPLogitsWarper

from ...data.errors import ModelUnusable
from .response_jobs import Sampling

_LARGEST_ID = 2**31 - 1
_PROBE_LENGTHS = (3, 8)
_PROBE_TOKENS = 3
_PADDING_ERROR = {torch.float32: 1e-3}
_USUAL_PADDING_ERROR = 0.1
"""Largest mean difference of logits with and without padding, in standard deviations of the logits. Half precision
rounds by some hundredths; a model that reads the padding differs by about 1."""


def row_numbers(seed: int, example_id: str, count: int) -> NDArray[np.float64]:
    """The random numbers of a row [0, 1), one for each token that it may get; they depend on nothing else."""
    digest = hashlib.blake2b(f"{seed} {example_id}".encode(), digest_size=16, person=b"sampling").digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little"))).random(count)


class SeededChoice(LogitsProcessor):  # type: ignore[misc]
    """Leaves each row the one token that its number draws: the first, by id, at which the summed probability passes
    it. `numbers` [rows x new tokens]; `prompt_length` with padding [tokens]."""

    def __init__(self, numbers: torch.Tensor, prompt_length: int) -> None:
        self._numbers, self._prompt_length = numbers, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        summed = torch.softmax(scores.double(), -1).cumsum(-1)
        step = input_ids.shape[1] - self._prompt_length
        wanted = self._numbers[:, step : step + 1] * summed[:, -1:]
        drawn = torch.searchsorted(summed, wanted, right=True).clamp(max=scores.shape[1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(1, drawn, 0.0)


class _EachToken(StoppingCriteria):  # type: ignore[misc]
    """Calls a function after each token, which may raise to stop."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def __call__(self, input_ids: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
        self._check()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


class ResponseGenerator:
    """Generates with a loaded model. `check` is called after each token and may raise. `pads`: whether prompts of
    different lengths may be in one batch, which is tried out on a few tokens.

    Raises `ModelUnusable` if transformers cannot generate with it.
    """

    def __init__(self, model: Any, sampling: Sampling, check: Callable[[], None]) -> None:
        if not getattr(model, "can_generate", lambda: False)():
            raise ModelUnusable(
                "This kind of model cannot generate text with transformers. Choose another base, or a causal language "
                "model's folder."
            )
        self._model, self._sampling, self._check = model, sampling, check
        own = model.get_base_model() if hasattr(model, "get_base_model") else model
        given = own.generation_config.eos_token_id
        listed = given if isinstance(given, list) else [given]
        self.end_ids = frozenset(token for token in listed if isinstance(token, int) and 0 <= token <= _LARGEST_ID)
        # What else the model's maker recommends (a temperature, penalties) must not be mixed into what was asked for.
        model.generation_config = own.generation_config = GenerationConfig()
        self.pads = self._reads_padding_right()

    @torch.inference_mode()
    def tokens(
        self, prompts: Sequence[NDArray[np.int32]], numbers: NDArray[np.float64] | None, end_ids: frozenset[int]
    ) -> list[list[int]]:
        """The new tokens of each prompt, up to and with the first of `end_ids`. `numbers`: of each row as of
        `row_numbers`; None if greedy."""
        width = max(map(len, prompts))
        processors = LogitsProcessorList()
        if numbers is not None:
            if self._sampling.temperature != 1:
                processors.append(TemperatureLogitsWarper(float(self._sampling.temperature)))
            if self._sampling.top_p < 1:
                processors.append(TopPLogitsWarper(self._sampling.top_p))
            processors.append(SeededChoice(torch.from_numpy(numbers).to(self._model.device), width))
        found = self._generated(prompts, self._sampling.max_new_tokens, sorted(end_ids), processors)
        rows: list[list[int]] = found[:, width:].tolist()
        return [row[: 1 + next((i for i, token in enumerate(row) if token in end_ids), len(row))] for row in rows]

    def _generated(
        self, prompts: Sequence[NDArray[np.int32]], count: int, end_ids: list[int], processors: Any, **asked: Any
    ) -> Any:
        width = max(map(len, prompts))
        input_ids = torch.zeros((len(prompts), width), dtype=torch.long)
        mask = torch.zeros_like(input_ids)
        for row, prompt in enumerate(prompts):
            input_ids[row, width - len(prompt) :] = torch.from_numpy(prompt.astype(np.int64))
            mask[row, width - len(prompt) :] = 1
        config = GenerationConfig(
            max_new_tokens=count, do_sample=False, eos_token_id=end_ids or None, pad_token_id=0, **asked
        )
        return self._model.generate(
            input_ids=input_ids.to(self._model.device),
            attention_mask=mask.to(self._model.device),
            generation_config=config,
            logits_processor=processors,
            stopping_criteria=StoppingCriteriaList([_EachToken(self._check)]),
        )

    @torch.inference_mode()
    def _reads_padding_right(self) -> bool:
        prompts = [np.arange(1, length + 1, dtype=np.int32) for length in _PROBE_LENGTHS]
        alone, padded = self._probe_logits(prompts[:1])[:, 0], self._probe_logits(prompts)[:, 0]
        error = (alone - padded).abs().mean() / alone.std()
        return bool(error <= _PADDING_ERROR.get(self._model.dtype, _USUAL_PADDING_ERROR))

    def _probe_logits(self, prompts: Sequence[NDArray[np.int32]]) -> torch.Tensor:
        """Logits of a few new tokens [tokens x rows x vocabulary], which are the same for all prompts."""
        same = SeededChoice(
            torch.zeros((len(prompts), _PROBE_TOKENS), dtype=torch.float64, device=self._model.device),
            max(map(len, prompts)),
        )
        found = self._generated(
            prompts,
            _PROBE_TOKENS,
            [],
            LogitsProcessorList([same]),
            output_logits=True,
            return_dict_in_generate=True,
        )
        return torch.stack(found.logits).float()
