"""Merged references are what their weights say: peft's own merge of the adapters' changes, or single weights drawn."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from core.data.errors import ModelUnusable, NameTaken
from core.models.folder_check import ADAPTER_WEIGHTS
from core.models.loading import load_model
from core.models.provenance import PROVENANCE
from core.models.resolving import resolve_model, trained_references
from core.store import Store
from core.workspace.merged_references import merge_references
from tests.tiny_adapters import KINDS, Kind, make_adapter
from tests.tiny_models import save_model_folder, spec_of

PLAIN = (
    "LoRA",
    "rsLoRA",
    "LoRA on every linear layer",
    "LoRA on the head",
    "LoRA on the embeddings",
    "a trained head",
    "trained norms",
)
INEXACT = ("DoRA", "PiSSA", "all biases", "trained tokens", "LoRA on parameters", "LoRA that begins at a token")
WEIGHTS = (2.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model_folder(tmp_path_factory.mktemp("bases") / "base")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "a test") as opened:
        yield opened


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.double() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("kind", PLAIN)
def test_the_mean_of_adapters_is_the_mean_of_the_models_they_make(
    store: Store, base: Path, tmp_path: Path, kind: str
) -> None:
    """Expected: the weighted mean of the weights that peft's `merge_and_unload` gives in float64, of three adapters of
    different ranks."""
    models = [
        make_adapter(
            tmp_path / f"adapter {place}",
            base,
            Kind(KINDS[kind].options | {"r": 2 + place, "lora_alpha": 8 + place}),
            place,
        )
        for place in range(3)
    ]
    merge_references(store, "merged", [str(tmp_path / f"adapter {place}") for place in range(3)], str(base), WEIGHTS)
    base_spec = resolve_model(str(base), store.workspace)
    loaded = load_model(resolve_model("merged", store.workspace, base_spec), "float32", "cpu")
    found = weights_of(loaded.double().merge_and_unload())
    parts = [weights_of(model) for model in models]
    for name, tensor in found.items():
        expected = sum(weight / 4 * part[name] for weight, part in zip(WEIGHTS, parts, strict=True))
        assert torch.allclose(tensor, torch.as_tensor(expected), atol=1e-6), name


@pytest.mark.parametrize("kind", INEXACT)
def test_an_adapter_whose_change_is_no_plain_product_is_refused(
    store: Store, base: Path, tmp_path: Path, kind: str
) -> None:
    make_adapter(tmp_path / "odd", base, KINDS[kind])
    make_adapter(tmp_path / "plain", base, KINDS["LoRA"])
    with pytest.raises(ModelUnusable, match="cannot be merged"):
        merge_references(store, "merged", [str(tmp_path / "odd"), str(tmp_path / "plain")], str(base))
    assert trained_references(store.workspace) == []


def full_models(base: Path, folder: Path) -> list[str]:
    """Three models whose every weight is 1, 2 or 3."""
    names = []
    for value in (1.0, 2.0, 3.0):
        model = AutoModelForCausalLM.from_pretrained(base)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(value)
        path = folder / f"full {value:g}"
        model.save_pretrained(path)
        for file in base.glob("*token*"):
            (path / file.name).write_bytes(file.read_bytes())
        names.append(str(path))
    return names


def test_full_models_are_averaged_or_each_weight_is_drawn_by_its_share(
    store: Store, base: Path, tmp_path: Path
) -> None:
    names = full_models(base, tmp_path)
    merge_references(store, "mean", names, str(base), WEIGHTS)
    merge_references(store, "drawn", names, str(base), WEIGHTS, "draw", seed=1)
    merge_references(store, "again", names, str(base), WEIGHTS, "draw", seed=1)
    merge_references(store, "other", names, str(base), WEIGHTS, "draw", seed=2)
    mean, drawn, again, other = (
        load_file(Path(resolve_model(name, store.workspace).path) / "model.safetensors")
        for name in ("mean", "drawn", "again", "other")
    )
    assert all(bool((tensor == 1.75).all()) for tensor in mean.values())
    values = torch.cat([tensor.flatten() for tensor in drawn.values()])
    for value, share in ((1.0, 0.5), (2.0, 0.25), (3.0, 0.25)):
        spread = math.sqrt(share * (1 - share) / len(values))
        assert abs(float((values == value).double().mean()) - share) < 5 * spread
    assert set(values.unique().tolist()) == {1.0, 2.0, 3.0}
    assert all(torch.equal(tensor, again[name]) for name, tensor in drawn.items())
    assert not torch.equal(values, torch.cat([tensor.flatten() for tensor in other.values()]))


def test_adapters_of_quantized_bases_stay_such_and_other_forms_are_said(
    store: Store, base: Path, tmp_path: Path
) -> None:
    forms = {"one": "nf4", "two": "nf4", "three": None}
    names = {}
    for place, (name, form) in enumerate(forms.items()):
        make_adapter(tmp_path / name, base, Kind(KINDS[PLAIN[0]].options), place)
        names[name] = str(tmp_path / name)
        known = {"base_weights_hash": spec_of(base).weights_hash, **({"quantization": form} if form else {})}
        (tmp_path / name / PROVENANCE).write_text(json.dumps(known))
    for merged, parts, kept in (("alike", ("one", "two"), "nf4"), ("mixed", ("one", "three"), None)):
        fields = merge_references(store, merged, [names[part] for part in parts], str(base))
        provenance = json.loads(Path(fields["path"], PROVENANCE).read_text("utf-8"))
        assert provenance.get("quantization") == kept
        said = [notice for notice in fields["notices"] if "in different forms: nf4, whole." in notice]
        assert len(said) == (kept is None)


@pytest.mark.parametrize("method", ["mean", "draw"])
def test_identical_models_stay_as_they_are(store: Store, base: Path, method: str) -> None:
    merge_references(store, "same", [str(base)] * 3, str(base), (1, 1, 1), method)
    before, after = (
        load_file(Path(folder) / "model.safetensors") for folder in (base, store.workspace / "models" / "same")
    )
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_what_cannot_be_merged_is_one_sentence_and_leaves_nothing(store: Store, base: Path, tmp_path: Path) -> None:
    make_adapter(tmp_path / "one", base, KINDS["LoRA"])
    make_adapter(tmp_path / "wide", base, KINDS["LoRA on every linear layer"])
    one, wide = (str(tmp_path / name) for name in ("one", "wide"))
    for references, options, sentence in (
        ([one], {}, "at least two"),
        ([one, wide], {}, "do not change the same weights"),
        ([one, str(base)], {}, "Adapters and full models"),
        ([one, one], {"method": "draw"}, "is a product"),
        ([one, one], {"method": "median"}, "no method"),
        ([one, one], {"weights": (1.0,)}, "1 weights were given for 2"),
        ([one, one], {"weights": (1.0, math.nan)}, "above 0"),
        ([one, one], {"weights": (1.0, -1.0)}, "above 0"),
    ):
        with pytest.raises(ModelUnusable, match=sentence):
            merge_references(store, "merged", references, str(base), **options)  # type: ignore[arg-type]
    assert trained_references(store.workspace) == []
    other_base = save_model_folder(tmp_path / "other base", seed=9)
    make_adapter(tmp_path / "foreign", other_base, KINDS["LoRA"])
    made = merge_references(store, "merged", [one, str(tmp_path / "foreign")], str(base))
    assert "other base" in made["notices"][0]
    with pytest.raises(NameTaken):
        merge_references(store, "merged", [one, one], str(base))


def test_a_damaged_part_is_refused(store: Store, base: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_adapter(tmp_path / name, base, KINDS["LoRA"])
    weights = load_file(tmp_path / "two" / ADAPTER_WEIGHTS)
    save_file(
        {name: tensor for name, tensor in weights.items() if "lora_B" not in name}, tmp_path / "two" / ADAPTER_WEIGHTS
    )
    with pytest.raises(ModelUnusable, match="do not change the same weights"):
        merge_references(store, "merged", [str(tmp_path / "one"), str(tmp_path / "two")], str(base))
