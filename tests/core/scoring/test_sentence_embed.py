"""Embeddings by a sentence model: those of sentence-transformers one text at a time, kept when killed, refused in a
sentence where the folder is not such a model; a target file's rows are embedded with the same one."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import typer
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from core.cli.embedding_commands import embed as embed_command
from core.data.errors import ModelChanged, NotFound, UserError
from core.data.examples import DatasetRow
from core.exporting import export_selection
from core.importing import DataFile
from core.jobs.example_chunks import id_texts, packed_ids
from core.jobs.job import WAITING, all_jobs
from core.models.left_out_packages import leave_out_packages
from core.models.sentence_folders import resolve_sentence_model
from core.models.unchanged_files import UnchangedSentenceModel
from core.scoring.embeddings import embed as embedding_work
from core.scoring.embeddings.embedding_jobs import (
    create_embedding_job,
    dataset_ids,
    finish_embeddings,
    ingest_embeddings,
    plan_of_sentence_model,
    stored_examples,
)
from core.scoring.embeddings.projection import projection
from core.scoring.embeddings.sentence_rows import SentenceEmbedder, TextRow
from core.selection import Amount, Selection
from core.selection.coverage import coverage_fields
from core.store import Store
from core.store.embedding_files import embeddings_of_run, read_embeddings
from core.workspace.cluster.model_staging import model_folders
from core.workspace.embedding import embed_run, embed_sentence, group_semantic_duplicates
from core.workspace.like_file_jobs import begin_like_file
from core.workspace.like_these import LikeRequest, score_like
from core.workspace.maintenance.checking import check_workspace
from core.workspace.mapping import begin_embedding_of_run, lacking_sentence
from tests.core.scored_models import score_examples
from tests.tiny_models import example, make_tokenizer, save_model_folder
from tests.trial_workspace import wait_quietly

pytestmark = pytest.mark.skipif(
    find_spec("sentence_transformers") is None, reason="the extra sentence is not installed"
)

OWN, ABOUT, WEIGHTS = "sentence_bert_config.json", "config_sentence_transformers.json", "model.safetensors"
NAMES = "sentence_transformers"
LONGEST = 24
TEXTS = {
    "Name a river.": "The river is the Thames.",
    "How many apples are there?": "12",
    "What is the capital of Iceland?": "The capital of Iceland is Reykjavik. " * 4,
    "Say it.": "def add(first, second): return first + second",
}
"""Replies by their prompts; the third row alone is longer than `LONGEST` tokens."""
EXAMPLES = [example(("user", prompt), ("assistant", reply)) for prompt, reply in TEXTS.items()]
SILENT = example(("user", "Name a town."), ("assistant", " "))


@pytest.fixture(scope="module")
def models(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Folder of four models: the tests' tiny transformer with mean pooling, the same with a default prompt, a linear
    layer and unit length, a static one, and one as model2vec writes it, whose tokenizer cuts texts."""
    return made_once("sentence-models", save_models)


def save_models(folder: Path) -> None:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    def save(name: str, *parts: Any, **options: Any) -> None:
        model = SentenceTransformer(modules=list(parts), device="cpu", **options)
        model.save(str(folder / name), create_model_card=False)

    torch.manual_seed(5)
    base = save_model_folder(folder / "base", chat_template=None)
    read = modules.Transformer(str(base), max_seq_length=LONGEST)
    save("mean", read, modules.Pooling(32))
    prompted = {"prompts": {"row": "text: "}, "default_prompt_name": "row"}
    save("deep", read, modules.Pooling(32), modules.Dense(32, 12), modules.Normalize(), **prompted)
    save("static", modules.StaticEmbedding(make_tokenizer(), embedding_dim=20), modules.Normalize())
    short = folder / "model2vec"
    short.mkdir()
    tokenizer = make_tokenizer().backend_tokenizer
    tokenizer.enable_truncation(LONGEST)
    tokenizer.save(str(short / "tokenizer.json"))
    save_file({"embeddings": torch.randn(tokenizer.get_vocab_size(), 20).numpy()}, short / WEIGHTS)
    listed = [("0", ".", "StaticEmbedding"), ("1", "1_Normalize", "Normalize")]
    parts = [{"name": name, "path": path, "type": f"{NAMES}.models.{kind}"} for name, path, kind in listed]
    (short / "modules.json").write_text(json.dumps(parts))
    (short / "config.json").write_text(json.dumps({"model_type": "model2vec", "architectures": ["StaticModel"]}))


@pytest.fixture(scope="module")
def made(made_once: Callable[[str, Callable[[Path], object]], Path], tiny_base: Path, tiny_reference: Path) -> Path:
    def make(folder: Path) -> None:
        with Store.open(folder, "a test") as store:
            score_examples(store, [*EXAMPLES, SILENT, EXAMPLES[0]], tiny_base, tiny_reference)

    return made_once("sentence-rows", make)


def expected(folder: Path, texts: Sequence[str]) -> NDArray[np.float64]:
    """The library's own vectors, one text at a time, of unit length."""
    from sentence_transformers import SentenceTransformer  # takes seconds

    model = SentenceTransformer(str(folder), device="cpu")
    found = np.stack([model.encode(text, show_progress_bar=False) for text in texts]).astype(np.float64)
    return units(found)


def units(vectors: NDArray[Any]) -> NDArray[np.float64]:
    found = vectors.astype(np.float64)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float64)


def own_texts() -> list[str]:
    return [f"{prompt}\n\n{reply.strip()}" for prompt, reply in TEXTS.items()]


def used_vectors(store: Store) -> NDArray[np.float16]:
    """Those that the run uses: of the examples, then of the silent row."""
    ids = packed_ids(pa.array([str(each.example_id) for each in (*EXAMPLES, SILENT)]))
    return read_embeddings(store.workspace, embeddings_of_run(store.run("tiny")), ids, "embed").vectors


LONGER = {"mean": 1, "deep": 2, "static": 0, "model2vec": 1}
"""Rows that are longer than what each model reads. The prompt of the second is part of its text."""


@pytest.mark.parametrize("name", LONGER)
def test_a_rows_vector_is_the_librarys_own_for_its_prompt_and_reply(store: Store, models: Path, name: str) -> None:
    report = embed_run(store, "tiny", wait_quietly, "cpu", sentence_model=str(models / name))
    wanted = expected(models / name, own_texts())
    found = used_vectors(store)
    assert ((units(found[:4]) * wanted).sum(1) > 1 - 1e-3).all()
    assert not found[4].any()
    assert (report["computed"], report["cached"], report["without"]) == (5, 0, 1)
    assert report["truncated"] == LONGER[name]
    again = embed_run(store, "tiny", wait_quietly, "cpu", sentence_model=str(models / name))
    assert (again["cached"], again["truncated"], again["key"]) == (5, report["truncated"], report["key"])
    embed_run(store, "tiny", wait_quietly, "cpu", dimensions=8, seed=3, sentence_model=str(models / name))
    narrow = used_vectors(store)[:4]
    projected = wanted @ projection(wanted.shape[1], 8, 3)  # type: ignore[operator]
    assert ((units(narrow) * units(projected)).sum(1) > 1 - 1e-3).all()
    assert check_workspace(store, lambda _: None) == []


def test_what_reads_embeddings_reads_these_and_says_whose_they_are(store: Store, models: Path, tmp_path: Path) -> None:
    model = str(models / "mean")
    report = embed_run(store, "tiny", wait_quietly, "cpu", sentence_model=model)
    assert embed_sentence(report) == (
        f"Dataset 'talk': 5 examples embedded with {model}, 5 computed, 0 cached. 1 are longer than the 24 tokens that "
        "the model reads, and were embedded from their first ones. 1 have no reply and so no vector."
    )
    selection = Selection("tiny", "learnability", amount=Amount("rows", 2))
    coverage = coverage_fields(store, selection)
    assert coverage
    assert (coverage["embeddings"], coverage["without_vector"]) == (model, 1)
    assert group_semantic_duplicates(store, "talk", "tiny", 0.9999, wait_quietly)["groups"] == 0
    export_selection(store, selection, tmp_path / "out.jsonl")
    said = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())["run"]["embeddings"]
    assert (said["label"], said["key"], said["truncated"]) == (model, report["key"], 1)
    base = embed_run(store, "tiny", wait_quietly, "cpu")
    assert base["run_uses"]["key"] == base["key"] != report["key"]
    assert store.run("tiny")["embeddings"] is None
    embed_run(store, "tiny", wait_quietly, "cpu", sentence_model=model)
    assert embeddings_of_run(store.run("tiny")).label == model


class Killed(BaseException):
    """Ends a worker without a word, as SIGKILL does."""


def test_what_was_finished_when_a_worker_was_killed_is_not_computed_again(
    store: Store, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOBASS_SHARD_SECONDS", "0")
    monkeypatch.setenv("LOBASS_CPU_BATCH_TOKENS", "24")
    seen: list[int] = []
    most = [2]
    given = SentenceEmbedder.vectors

    def vectors(self: SentenceEmbedder, rows: Sequence[TextRow], wanted: Sequence[int]) -> Iterator[Any]:
        for batch in given(self, rows, wanted):
            if len(seen) >= most[0]:
                raise Killed
            seen.extend(batch.rows)
            yield batch

    monkeypatch.setattr(SentenceEmbedder, "vectors", vectors)
    model = str(models / "mean")
    with pytest.raises(Killed):
        embed_run(store, "tiny", wait_quietly, "cpu", sentence_model=model)
    assert store.run("tiny")["embeddings"] is None
    most[0] = 3
    with pytest.raises(Killed):
        embedding_work.embed(all_jobs(store.workspace)[0])
    assert len(seen) == 3
    most[0] = 99
    report = embed_run(store, "tiny", wait_quietly, "cpu", sentence_model=model)
    assert (report["computed"], report["cached"], report["truncated"]) == (1, 4, 1)  # the silent row is cached too
    assert len(seen) == 4
    assert ((units(used_vectors(store)[:4]) * expected(models / "mean", own_texts())).sum(1) > 1 - 1e-3).all()


def test_a_target_files_rows_are_embedded_with_the_runs_sentence_model(
    store: Store, models: Path, tmp_path: Path
) -> None:
    model = str(models / "deep")
    embed_run(store, "tiny", wait_quietly, "cpu", dimensions=8, seed=3, sentence_model=model)
    target = tmp_path / "wanted.jsonl"
    target.write_text(json.dumps({"instruction": "Name a lake.", "output": "The lake is Mývatn."}), encoding="utf-8")
    scores, fields = score_like(store, LikeRequest("tiny", str(target), device="cpu"), wait_quietly)
    assert fields["targets"] == 1
    assert model in str(scores[1].to_fields())
    vectors = expected(models / "deep", [*own_texts(), "Name a lake.\n\nThe lake is Mývatn."])
    narrow = units(vectors @ projection(12, 8, 3))  # type: ignore[operator]
    cosines = [row[0] for row in store.rows("SELECT imported_like_wanted_max FROM scored_1 ORDER BY row_number")]
    assert cosines[:4] == pytest.approx(list(narrow[:4] @ narrow[4]), abs=2e-3)
    assert cosines[4:] == [None, cosines[0]]  # the silent row, and the first again
    outcome = wait_quietly(store, begin_like_file(store, "tiny", [DataFile(target, "other.jsonl")], "other"))
    assert (outcome["targets"], outcome["tokens"]) == (1, 0)  # embedded before
    target.write_text(json.dumps({"instruction": "Name a sea.", "output": "The sea is red."}), encoding="utf-8")
    outcome = wait_quietly(store, begin_like_file(store, "tiny", [DataFile(target, "third.jsonl")], "third"))
    assert outcome["tokens"] > 0


def test_a_sentence_model_that_changed_embeds_no_more_rows_of_the_run(
    store: Store, models: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models / "static", folder)
    spec = resolve_sentence_model(str(folder), store.workspace)
    files = UnchangedSentenceModel(spec)
    embed_run(store, "tiny", wait_quietly, "cpu", sentence_model=str(folder))
    with files.while_read():
        pass
    (folder / "config_sentence_transformers.json").unlink()
    with pytest.raises(ModelChanged, match=r"weights of the model .* changed since this was started"):
        files.check()
    target = tmp_path / "wanted.jsonl"
    target.write_text(json.dumps({"instruction": "Name a lake.", "output": "Mývatn."}), encoding="utf-8")
    with pytest.raises(UserError, match=r"has other files than the run 'tiny' .*embed --run tiny --sentence-model /"):
        score_like(store, LikeRequest("tiny", str(target), device="cpu"), wait_quietly)
    used = embeddings_of_run(store.run("tiny"))
    assert "some rows have none by /" in lacking_sentence("A map", used)
    store.add_source("talk", "more.jsonl", "jsonl", "another hash", {}, more_rows())
    with pytest.raises(NotFound, match=r"1 of 6 rows have no embedding yet\..*--run tiny --sentence-model /"):
        group_semantic_duplicates(store, "talk", "tiny", 0.9, wait_quietly)


def test_all_files_of_a_model_count_wherever_its_modules_are(store: Store, models: Path, tmp_path: Path) -> None:
    folder = in_a_folder_of_its_own(models / "model2vec", tmp_path / "model", "0_StaticEmbedding")
    embed_run(store, "tiny", wait_quietly, "cpu", sentence_model=str(folder))
    assert ((units(used_vectors(store)[:4]) * expected(models / "model2vec", own_texts())).sum(1) > 1 - 1e-3).all()
    spec = resolve_sentence_model(str(folder), store.workspace)
    names = {name for name, _ in model_folders({"sentence_model": spec.to_fields()})[0].files}
    assert names >= {"modules.json", f"0_StaticEmbedding/{WEIGHTS}"}
    (folder / ABOUT).write_text(json.dumps({"prompts": {"row": "text: "}, "default_prompt_name": "row"}))
    assert resolve_sentence_model(str(folder), store.workspace).weights_hash != spec.weights_hash


def in_a_folder_of_its_own(model: Path, folder: Path, place: str) -> Path:
    """A copy of a model whose first module lies in a folder."""
    shutil.copytree(model, folder)
    (folder / place).mkdir()
    for name in ("tokenizer.json", WEIGHTS):
        (folder / name).rename(folder / place / name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = place
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


def without_tokens(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


def with_table(table: NDArray[Any], **more: NDArray[Any]) -> Callable[[Path], None]:
    return lambda folder: save_file({"embeddings": table, **more}, folder / WEIGHTS)


UNFIT: dict[str, Callable[[Path], None]] = {
    "cannot be loaded": without_tokens,
    "cannot be loaded .": with_table(np.ones(4, np.float32)),
    "cannot be loaded ..": with_table(np.ones((4, 2), np.float32), mapping=np.full(5000, 9)),
    r"has token \d+, and its table of embeddings 3 rows": with_table(np.ones((3, 2), np.float32)),
}
"""What is done to a static model's folder, by what is said."""


@pytest.mark.parametrize("sentence", UNFIT)
def test_a_static_model_whose_parts_do_not_fit_is_refused_in_a_sentence(
    store: Store, models: Path, tmp_path: Path, sentence: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models / "model2vec", folder)
    UNFIT[sentence](folder)
    with pytest.raises(UserError, match=sentence):
        embed_run(store, "tiny", wait_quietly, "cpu", sentence_model=str(folder))


def test_a_run_that_asks_for_what_a_job_of_another_run_computes_uses_it_too(store: Store, models: Path) -> None:
    (base, reference), = store.rows(
        "SELECT max(loss_set_id) FILTER (role = 'base'), max(loss_set_id) FILTER (role = 'reference') FROM run_loss"
    )  # fmt: skip
    store.save_run("second", "talk", {"base": base, "reference": reference}, store.run("tiny")["description"])
    plan = plan_of_sentence_model(store, "tiny", str(models / "static"), "cpu")
    ids = dataset_ids(store, "talk")
    job = create_embedding_job(store, plan, stored_examples(store, id_texts(ids)))
    (job.folder / WAITING).write_text("{}")
    assert begin_embedding_of_run(store, "second", str(models / "static")) == job
    (job.folder / WAITING).unlink()
    embedding_work.embed(job)
    ingest_embeddings(store, job)
    finish_embeddings(store, job)
    found = {name: (store.run(name)["embeddings"] or {}).get("label") for name in ("tiny", "second")}
    assert found == dict.fromkeys(("tiny", "second"), str(models / "static"))


def more_rows() -> list[Any]:
    return [DatasetRow(1, "chat", example(("user", "Name a hill."), ("assistant", "Esja.")), b"{}")]


def changed(file: str, **fields: Any) -> Callable[[Path], None]:
    """Writes fields into a JSON file of a folder."""

    def change(folder: Path) -> None:
        path = folder / file
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps({**known, **fields}), encoding="utf-8")

    return change


def with_module(kind: str, place: str = "") -> Callable[[Path], None]:
    """Makes one module of that class the model's first."""

    def change(folder: Path) -> None:
        path = folder / "modules.json"
        modules = json.loads(path.read_text(encoding="utf-8"))
        modules[0] |= {"type": kind, "path": place}
        path.write_text(json.dumps(modules), encoding="utf-8")

    return change


def with_weights(change: Callable[[dict[str, NDArray[Any]]], object]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS)

    return write


def linked_outside(folder: Path) -> None:
    path = folder / "1_Pooling" / "config.json"
    path.rename(folder.parent / "elsewhere.json")
    path.symlink_to(folder.parent / "elsewhere.json")


def without_first(tensors: dict[str, NDArray[Any]]) -> None:
    del tensors["layers.0.mlp.up_proj.weight"]


def with_nan(tensors: dict[str, NDArray[Any]]) -> None:
    tensors["norm.weight"][0] = np.nan


def too_large(tensors: dict[str, NDArray[Any]]) -> None:
    tensors["norm.weight"] *= np.float32(3e37)


REFUSED: dict[str, Callable[[Path], object]] = {
    r"is not a sentence-embedding model: there is no modules\.json in /": lambda at: (at / "modules.json").unlink(),
    r"needs its own code \(modeling_x\.Mine\), which is never run": with_module("modeling_x.Mine"),
    "has a module CLIPModel, which is not supported": with_module(f"{NAMES}.models.CLIPModel"),
    "has a module load_file_path, which is not": with_module(f"{NAMES}.util.load_file_path"),
    "has the modules Normalize, Pooling, .* give no vector": with_module(f"{NAMES}.models.Normalize"),
    r"modules\.json of model .* is not as sentence-transformers writes it": with_module("x", "../other"),
    r"modules\.json lists no modules": lambda at: (at / "modules.json").write_text("[]"),
    "is a CrossEncoder, not a sentence": changed(ABOUT, model_type="CrossEncoder"),
    r"1_Pooling/config\.json of model .* links outside its folder": linked_outside,
    "has no usable prompt": changed(ABOUT, prompts={"row": 3}),
    "sets model_args, which is not supported": changed(OWN, model_args={"gguf_file": "x"}),
    "reads other inputs than plain text": changed(OWN, modality_config={"text": {"method": "push_to_hub"}}),
    "is an adapter, which is not supported": lambda at: (at / "adapter_config.json").write_text("{}"),
    r"has no \*\.safetensors in": lambda at: (at / WEIGHTS).rename(at / "pytorch_model.bin"),
    "The sizes of a Dense module": changed("2_Dense/config.json", out_features=10**9),
    r"needs the activation os\.system, whose code": changed("2_Dense/config.json", activation_function="os.system"),
    "it needs its own code, which is never": changed("config.json", model_type="my", auto_map={"AutoConfig": "x.A"}),
    r"lacks 1 of its weights, such as layers\.0\.mlp\.up_proj\.weight": with_weights(without_first),
    r"The weights 0\..*norm\.weight of model .* have NaN or infinity": with_weights(with_nan),
    "rows a vector with NaN or infinity. Choose another model": with_weights(too_large),
}
"""What is done to a whole model's folder, by what is said."""


def test_what_is_no_sentence_model_or_unsafe_is_refused_in_a_sentence_and_changes_nothing(
    store: Store, models: Path, tmp_path: Path
) -> None:
    for number, (sentence, damage) in enumerate(REFUSED.items()):
        folder = tmp_path / str(number)
        shutil.copytree(models / "deep", folder)
        damage(folder)
        with pytest.raises(UserError, match=sentence):
            embed_run(store, "tiny", wait_quietly, "cpu", sentence_model=str(folder))
    with pytest.raises(UserError, match=r"neither a folder nor a valid Hugging Face id"):
        embed_run(store, "tiny", wait_quietly, "cpu", sentence_model="no such model")
    assert store.run("tiny")["embeddings"] is None


def test_without_the_library_a_sentence_says_how_to_get_it(
    store: Store, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("core.models.sentence_folders.version", absent)
    with pytest.raises(UserError, match=r"need the package sentence-transformers.*pip install 'lobass\[sentence\]'$"):
        embed_run(store, "tiny", wait_quietly, "cpu", sentence_model=str(models / "mean"))


def test_a_worker_finds_the_packages_that_the_library_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sklearn", "datasets"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    leave_out_packages({"kind": "embed", "sentence_model": {}})
    assert not {"sklearn", "datasets"} & {name for name, module in sys.modules.items() if module is None}


def test_the_files_of_a_models_modules_are_found_in_the_hubs_cache_and_go_to_another_machine_too(
    store: Store, models: Path, tmp_path: Path
) -> None:
    spec = resolve_sentence_model(str(models / "deep"), store.workspace)
    in_cache = tmp_path / "snapshots" / "a1"
    shutil.copytree(models / "deep", in_cache)
    blob = tmp_path / "blobs" / "b1"
    blob.parent.mkdir()
    (in_cache / "1_Pooling" / "config.json").rename(blob)
    (in_cache / "1_Pooling" / "config.json").symlink_to("../../../blobs/b1")
    assert resolve_sentence_model(str(in_cache), store.workspace).weights_hash == spec.weights_hash
    names = {name for name, _ in model_folders({"sentence_model": spec.to_fields()})[0].files}
    assert names >= {"modules.json", "1_Pooling/config.json", "2_Dense/model.safetensors", "tokenizer.json"}


def test_the_command_refuses_a_sentence_model_for_what_is_no_run(tmp_path: Path) -> None:
    for options in ({"dataset": "d", "base": "b"}, {"run": "tiny", "file": tmp_path / "v.npy"}):
        with pytest.raises(typer.BadParameter, match="A sentence model embeds the rows of a run"):
            embed_command(**options, sentence_model="m", workspace=tmp_path)
