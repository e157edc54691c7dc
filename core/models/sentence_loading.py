"""Loads a sentence-embedding model whose folder was checked. Only workers need it: it imports torch and
sentence-transformers."""

from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, StaticEmbedding, Transformer

from ..data.errors import ModelUnusable, UserError
from ..system.memory_limit import memory_limit
from .loading import DTYPES, memory_for, on_device
from .resolving import ModelSpec
from .sentence_folders import (
    DENSE,
    NORMALIZE,
    POOLING,
    STATIC,
    TRANSFORMER,
    check_sentence_folder,
    sentence_files,
    sentence_modules,
    sentence_settings,
)
from .unchanged_files import unchanged_sentence_model
from .unloadable import cannot_be_loaded, is_of_library, refuse_gaps

_PROMPT = "of the folder"
_POOLER = "pooler."
"""Of BERT's head, which no module here reads; many folders lack it."""


class _WholeTransformer(Transformer):  # type: ignore[misc]  # the library is not read by mypy
    """Refuses weights that are missing or have another shape: transformers fills such gaps with random numbers."""

    def _load_model(self, name: str, *args: Any, **options: Any) -> Any:
        model, report = super()._load_model(
            name, *args, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
        missing = [key for key in report.get("missing_keys", ()) if not key.startswith(_POOLER)]
        refuse_gaps(f"The model {name!r}", {**report, "missing_keys": missing})
        return model


_CLASSES = {
    TRANSFORMER: _WholeTransformer,
    STATIC: StaticEmbedding,
    POOLING: Pooling,
    DENSE: Dense,
    NORMALIZE: Normalize,
}


def load_sentence_model(spec: ModelSpec, dtype: str, device: str, max_length: int | None) -> SentenceTransformer:
    """The model in evaluation mode on the device, its weights in `dtype`; it reads `max_length` tokens of a text.
    Nothing is downloaded, no code of the model is run.

    Raises `ModelUnusable` if weights are missing, have another shape, or are not finite, or if it gives no vector of a
    text; `ModelChanged` if the files are not those that the spec was made of.
    """
    with unchanged_sentence_model(spec).while_read():
        check_sentence_folder(spec.label, Path(spec.path))
        weights = [path for path in sentence_files(Path(spec.path)) if path.suffix == ".safetensors"]
        try:
            with memory_limit(memory_for(spec, weights)):
                model = _read(spec, dtype)
            if max_length is not None and isinstance(model[0], Transformer):
                model.max_seq_length = max_length
            on_device(model, spec, device)
            _check_tokens(model, spec)
            model.encode(["a", "a b"], show_progress_bar=False)
        except UserError:
            raise
        except BaseException as error:
            if not is_of_library(error):
                raise
            raise cannot_be_loaded(spec.label, error) from error
    return model


def _check_tokens(model: SentenceTransformer, spec: ModelSpec) -> None:
    """Raise `ModelUnusable` if the tokenizer has a token that the model has no vector for: a row with it would fail in
    the middle of a job."""
    first = model[0]
    table = first.embedding if isinstance(first, StaticEmbedding) else first.auto_model.get_input_embeddings()
    highest, rows = max(model.tokenizer.get_vocab().values(), default=-1), table.weight.shape[0]
    if highest >= rows:
        raise ModelUnusable(
            f"The tokenizer of model {spec.label!r} has token {highest:,}, and its table of embeddings {rows:,} rows. "
            "Fetch it again, or choose another."
        )


def _read(spec: ModelSpec, dtype: str) -> SentenceTransformer:
    """The model in main memory. Its classes are chosen here, so that no file can name one to import."""
    folder = Path(spec.path)
    weights = {"model_kwargs": {"dtype": DTYPES[dtype], "use_safetensors": True}, "trust_remote_code": False}
    modules = [
        _CLASSES[module.kind].load(
            spec.path, subfolder=module.place, local_files_only=True, **(weights if module.kind == TRANSFORMER else {})
        )
        for module in sentence_modules(spec.label, folder)
    ]
    settings = sentence_settings(spec.label, folder)
    return SentenceTransformer(
        modules=[module.to(DTYPES[dtype]) if isinstance(module, StaticEmbedding) else module for module in modules],
        device="cpu",
        prompts={_PROMPT: settings.prompt},
        default_prompt_name=_PROMPT if settings.prompt else None,
        truncate_dim=settings.dimensions,
        local_files_only=True,
    )
