"""Resolves a sentence-embedding model's name to a folder that sentence-transformers saved, and checks it before any
library reads it.

Such a folder lists its modules in modules.json, each by the name of a Python class and a folder of its own. Folders are
untrusted: only the modules named here are loaded, by our own choice of class, and a file may not name code, other
places or other weights. Nothing here imports torch.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..data.errors import JsonInvalid, ModelUnusable, SettingInvalid
from ..system.untrusted_json import read_json as read_any_json
from .cache_key import hash_files
from .folder_check import (
    ADAPTER_CONFIG,
    READ_BY_LIBRARIES,
    check_files,
    check_transformer_folder,
    read_json,
)
from .known_hashes import content_hash
from .resolving import ModelSpec, lasting_name, model_folder
from .stored_quantization import quantization_of
from .weight_files import tensor_shapes

LIBRARY = "sentence-transformers"
SENTENCE_MODEL = "sentence_model"
"""Field of a job's request whose rows are embedded by such a model: its `ModelSpec`."""
TRANSFORMER, STATIC, POOLING, DENSE, NORMALIZE = "Transformer", "StaticEmbedding", "Pooling", "Dense", "Normalize"
_KINDS = (TRANSFORMER, STATIC, POOLING, DENSE, NORMALIZE)
_MODULES, _ABOUT, _WEIGHTS = "modules.json", "config_sentence_transformers.json", "model.safetensors"
_NAMESPACE = "sentence_transformers."
_CLASS = re.compile(
    r"sentence_transformers\.(models|base\.modules|sentence_transformer\.modules)(\.\w+)?\.(?P<kind>\w+)"
)
"""Where the library has its modules, now and in earlier versions."""
_PLACE = re.compile(r"[\w-]*|\.")
_ACTIVATION = re.compile(r"torch\.nn\.modules\.(activation|linear)\.\w+")
_OF_TRANSFORMER = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""The library's own settings of a transformer are in the first of these files that there is."""
_TEXT = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
_KNOWN_SETTINGS = {
    "max_seq_length", "do_lower_case", "transformer_task", "modality_config", "module_output_name", "unpad_inputs",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SentenceModule:
    """One module of a model: its kind, and the folder of its files in the model's folder (empty: that one itself)."""

    kind: str
    place: str


@dataclass(frozen=True, slots=True)
class SentenceSettings:
    """What a folder says beside its modules: the text put before each row, and the dimensions that are kept of a vector
    (None: all)."""

    prompt: str
    dimensions: int | None


def check_sentence_library() -> None:
    """Raise `SettingInvalid` if sentence-transformers is not installed."""
    try:
        version(LIBRARY)
    except PackageNotFoundError as error:
        raise SettingInvalid(
            f"Embeddings by a sentence model need the package {LIBRARY}, which is not installed. Run: pip install "
            "'lobass[sentence]'"
        ) from error


def resolve_sentence_model(name: str, workspace: Path) -> ModelSpec:
    """Resolve the name of a sentence-embedding model: a local folder, or a Hugging Face id. Its label means the same
    from any folder. Raises `ModelUnusable` if there is no such model or it is unsafe to load."""
    folder = model_folder(name, workspace)
    check_sentence_folder(name, folder)
    return ModelSpec(lasting_name(name, workspace), str(folder), None, hash_of_sentence_model(folder, workspace))


def hash_of_sentence_model(folder: Path, workspace: Path | None = None) -> str:
    """Hex digest of all files of a folder that the library may read: weights, tokenizer, settings of the modules."""
    files = sentence_files(folder)
    return hash_files((path.relative_to(folder).as_posix(), content_hash(path, workspace)) for path in files)


def sentence_files(folder: Path) -> list[Path]:
    """The files of a model that the library may read, in its folder and in those of its modules, sorted by their
    path."""
    places = {folder, *(folder / module.place for module in sentence_modules(str(folder), folder))}
    found = (path for place in places if place.is_dir() for path in place.iterdir())
    return sorted(path for path in found if path.name.endswith(READ_BY_LIBRARIES) and path.is_file())


def sentence_modules(name: str, folder: Path) -> list[SentenceModule]:
    """The modules of a model, in their order. Raises `ModelUnusable` if the folder is not one of a sentence-embedding
    model, or has modules that are not supported."""
    try:
        listed = read_any_json(folder / _MODULES)
    except FileNotFoundError as error:
        raise ModelUnusable(
            f"The model {name!r} is not a sentence-embedding model: there is no {_MODULES} in {folder}. Give a folder "
            f"that {LIBRARY} saved."
        ) from error
    except JsonInvalid as error:
        raise ModelUnusable(f"{error} Fetch the model {name!r} again.") from error
    if not isinstance(listed, list) or not listed:
        raise ModelUnusable(f"{folder / _MODULES} lists no modules. Fetch the model {name!r} again.")
    return [_module(name, fields) for fields in listed]


def _module(name: str, fields: Any) -> SentenceModule:
    of_class, place = (fields.get("type"), fields.get("path")) if isinstance(fields, dict) else (None, None)
    if not isinstance(of_class, str) or not isinstance(place, str) or not _PLACE.fullmatch(place):
        raise ModelUnusable(f"{_MODULES} of model {name!r} is not as {LIBRARY} writes it. Fetch the model again.")
    if not of_class.startswith(_NAMESPACE):
        raise ModelUnusable(
            f"The model {name!r} needs its own code ({of_class[:80]}), which is never run. Choose a model that "
            f"{LIBRARY} supports."
        )
    found = _CLASS.fullmatch(of_class)
    if found is None or found["kind"] not in _KINDS:
        raise ModelUnusable(
            f"The model {name!r} has a module {of_class.rsplit('.', 1)[-1][:80]}, which is not supported. Choose one "
            f"of {', '.join(_KINDS)}."
        )
    return SentenceModule(found["kind"], "" if place == "." else place)


def check_sentence_folder(name: str, folder: Path) -> None:
    """Raise `ModelUnusable` for a folder that is not a sentence-embedding model, or is unsafe to load."""
    modules = sentence_modules(name, folder)
    kinds = [module.kind for module in modules]
    first, rest = kinds[0], kinds[1:]
    reads_text = first in (TRANSFORMER, STATIC) and not {TRANSFORMER, STATIC} & set(rest)
    if not reads_text or (first == TRANSFORMER) != (POOLING in rest):
        raise ModelUnusable(f"The model {name!r} has the modules {', '.join(kinds)}, which give no vector of a text.")
    check_files(name, folder, [module.place for module in modules if module.place])
    kind = read_json(folder / _ABOUT).get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise ModelUnusable(
            f"The model {name!r} is a {str(kind)[:80]}, not a sentence-embedding model. Choose another."
        )
    sentence_settings(name, folder)
    for module in modules:
        _check_module(name, module.kind, folder / module.place)


def sentence_settings(name: str, folder: Path) -> SentenceSettings:
    """What a folder says beside its modules. Raises `ModelUnusable` if that cannot be used."""
    about = read_json(folder / _ABOUT)
    chosen, prompts, dimensions = (
        about.get("default_prompt_name"),
        about.get("prompts") or {},
        about.get("truncate_dim"),
    )
    prompt = prompts.get(chosen) if isinstance(prompts, dict) and chosen is not None else ""
    if not isinstance(prompt, str) or not (dimensions is None or (type(dimensions) is int and dimensions > 0)):
        raise ModelUnusable(f"{folder / _ABOUT} has no usable prompt or truncate_dim. Fetch the model {name!r} again.")
    return SentenceSettings(prompt, dimensions)


def longest_text(folder: Path) -> int | None:
    """The most tokens that a model reads of a text, as the library finds it; None if it has no limit."""
    first = sentence_modules(str(folder), folder)[0]
    place = folder / first.place
    if first.kind == STATIC:
        cut = read_json(place / "tokenizer.json").get("truncation")
        limits = [cut.get("max_length") if isinstance(cut, dict) else None]
    elif limit := _transformer_settings(place).get("max_seq_length"):
        limits = [limit]
    else:
        of_model = read_json(place / "config.json").get("max_position_embeddings")
        limits = [read_json(place / "tokenizer_config.json").get("model_max_length"), of_model]
    return min((limit for limit in limits if type(limit) is int and 0 < limit < 2**31), default=None)


def is_static(folder: Path) -> bool:
    """Whether a model adds up its tokens' own vectors, without a transformer."""
    return sentence_modules(str(folder), folder)[0].kind == STATIC


def _transformer_settings(place: Path) -> dict[str, Any]:
    return next((found for name in _OF_TRANSFORMER if (found := read_json(place / name))), {})


def _check_module(name: str, kind: str, place: Path) -> None:
    if kind == TRANSFORMER:
        for problem in _transformer_problems(place):
            raise ModelUnusable(f"The model {name!r} {problem}, which is not supported. Choose another.")
        check_transformer_folder(name, place)
    elif kind in (STATIC, DENSE):
        if not (place / _WEIGHTS).exists():
            raise ModelUnusable(
                f"The model {name!r} has no {_WEIGHTS} in {place}. Other weight formats are not loaded: they can run "
                f"code. Save the model anew with {LIBRARY}."
            )
        shapes = tensor_shapes(place / _WEIGHTS)
        if kind == DENSE:
            _check_dense(name, read_json(place / "config.json"), shapes.get("linear.weight"))


def _transformer_problems(place: Path) -> Iterator[str]:
    settings = _transformer_settings(place)
    if (place / ADAPTER_CONFIG).exists():
        yield "is an adapter"
    if quantization_of(read_json(place / "config.json")):
        yield "has weights that are stored quantized"
    if unknown := sorted(key for key, value in settings.items() if key not in _KNOWN_SETTINGS and value):
        yield f"sets {unknown[0][:80]}"
    if settings.get("transformer_task", "feature-extraction") != "feature-extraction":
        yield f"has the task {str(settings['transformer_task'])[:80]}"
    if settings.get("modality_config", _TEXT) != _TEXT:  # such as messages, for its chat template
        yield "reads other inputs than plain text"


def _check_dense(name: str, config: dict[str, Any], shape: tuple[int, ...] | None) -> None:
    """Sizes are allocated before weights are read, and the activation is imported by its name."""
    if shape != (config.get("out_features"), config.get("in_features")):
        raise ModelUnusable(
            f"The sizes of a Dense module of model {name!r} are not those of its weights. Fetch it again."
        )
    activation = config.get("activation_function", "torch.nn.modules.linear.Identity")
    if not isinstance(activation, str) or not _ACTIVATION.fullmatch(activation):
        raise ModelUnusable(
            f"The model {name!r} needs the activation {str(activation)[:80]}, whose code is never run. Choose another."
        )
