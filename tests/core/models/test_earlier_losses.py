"""Losses that version 0.5.0 computed through an adapter which changes its base: found, dropped, said, computed anew."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.data.examples import Example, Message
from core.encoding.encode import encode_examples
from core.encoding.encoding_spec import EncodingSpec
from core.jobs.example_chunks import EXAMPLES_SCHEMA
from core.jobs.job import Job, create_job
from core.jobs.shards import SHARD_SCHEMA, read_shard, write_shard
from core.models.earlier_losses import unsound_roles
from core.models.loading import load_tokenizer
from core.models.resolving import ModelSpec, resolve_model, tokenizer_fingerprint
from core.scoring.earlier_shards import drop_unsound_shards
from core.scoring.planning import ScoreRequest, create_score_job, plan_scoring
from core.scoring.scoring_job import score
from core.store import STORE_VERSION, Store
from core.store.change_record import write_record
from core.workspace.maintenance.checking import check_workspace
from core.workspace.maintenance.kept_shards import notices_of
from core.workspace.supervisor import ingest_finished_jobs
from tests.core.workspace.test_supervision import at_work
from tests.tiny_adapters import KINDS, Kind, exact_losses, exact_model, give_biases, make_adapter
from tests.tiny_models import make_tokenizer, save_model_folder

VERSION_3 = Path(__file__).parents[1].joinpath("stores") / "version_3.sql"
EXAMPLES = [Example((Message("user", "Count."), Message("assistant", f"{n} and {n + 1}"))) for n in range(3)]
WRONG = 1.0
"""Every loss that the earlier version is made to have computed [nats]; no real one comes near it."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return give_biases(save_model_folder(tmp_path_factory.mktemp("bases") / "base", "qwen2"))


class EarlierWorkspace:
    """A workspace as version 0.5.0 left it: one dataset, scored with adapters on `base`."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder, self._models = folder, folder.parent
        folder.mkdir()
        self.base = resolve_model(str(base), folder)
        self.encoding = EncodingSpec("alpaca", 2048, tokenizer_fingerprint(self.base))  # encoded then as now
        self._database = duckdb.connect(str(folder / "store.duckdb"))
        self._database.execute(VERSION_3.read_text(encoding="utf-8"))
        self._database.execute("INSERT INTO store_version VALUES (3)")
        self._database.execute("INSERT INTO store_change VALUES (0)")
        write_record(folder, 0, closed=False)
        self._database.execute("INSERT INTO dataset VALUES (1, 'numbers', now())")
        self._database.execute("INSERT INTO source VALUES (1, 1, 'n', 'jsonl', 'h', '{}', 3, 0, now())")
        for number, example in enumerate(EXAMPLES):
            key = str(example.example_id)
            self._database.execute("INSERT INTO example VALUES (?, ?, 'p', 'r')", [key, example.to_json()])
            self._database.execute(
                "INSERT INTO dataset_row VALUES (1, ?, ?, 'all', 1, ?, 'x'::BLOB)", [number + 1, key, number + 1]
            )

    def adapter(self, name: str, kind: Kind) -> ModelSpec:
        make_adapter(self._models / name, Path(self.base.path), kind)
        return resolve_model(str(self._models / name), self.folder, self.base)

    def loss_set(self, spec: ModelSpec) -> int:
        key = [spec.fingerprint("float32"), self.encoding.fingerprint]
        sql = "SELECT loss_set_id FROM loss_set WHERE model_fingerprint = ? AND encoding_fingerprint = ?"
        if found := self._database.execute(sql, key).fetchone():
            return int(found[0])
        ((number,),) = self._database.execute("SELECT count(*) + 1 FROM loss_set").fetchall()
        self._database.execute("INSERT INTO loss_set VALUES (?, ?, ?, ?, 0.0)", [number, *key, spec.label])
        return int(number)

    def job(
        self, reference: ModelSpec, roles: tuple[str, ...] = ("base", "reference"), base: ModelSpec | None = None
    ) -> Job:
        """A job of that version whose worker has written all losses of these roles."""
        models = {"base": base or self.base, "reference": reference}
        fields = {name: getattr(self.encoding, name) for name in ("template", "max_length", "version")}
        fields["tokenizer_fingerprint"] = self.encoding.tokenizer_fingerprint
        description = {
            "models": {role: spec.to_fields() for role, spec in models.items()},
            "model_fingerprints": {role: spec.fingerprint("float32") for role, spec in models.items()},
            "encoding": fields,
            "encoding_fingerprint": self.encoding.fingerprint,
            "dtype": "float32",
        }
        request = {
            "kind": "score",
            "dataset": "numbers",
            "loss_sets": {role: self.loss_set(spec) for role, spec in models.items()},
            "run": Path(reference.label).name,
            "description": description,
            "base": models["base"].to_fields(),
            "encoding": fields,
            "device": "cpu",
            "dtype": "float32",
            "parts": [{"role": role, "model": models[role].to_fields(), "loss_set": 1} for role in roles],
            "then": [],
        }
        ids, texts = [str(e.example_id) for e in EXAMPLES], [e.to_json() for e in EXAMPLES]
        table = pa.table([ids, texts, [""] * len(ids)], schema=EXAMPLES_SCHEMA)
        job = create_job(self.folder, request, dict.fromkeys(roles, table))
        rows = [{"example_id": key, "nll_sum": WRONG, "token_count": 1, "truncated": False} for key in ids]
        for role in roles:
            losses = pa.Table.from_pylist(rows, SHARD_SCHEMA)
            write_shard(job.folder / "shards", f"{job.shard_prefix(role)}0000000000001-00-000001", losses)
            (job.folder / f"noise-{role}.txt").write_text("0.0", encoding="ascii")
        return job

    def take_in(self, job: Job) -> None:
        """What that version's store did with a finished job: losses, token losses, ledger, run."""
        request = job.request
        for part in request["parts"]:
            number = request["loss_sets"][part["role"]]
            (shard,) = job.shards_of(part["role"])
            for row in read_shard(shard).to_pylist():
                for sql in (
                    f"INSERT INTO loss VALUES ({number}, ?, {WRONG}, 1, false, NULL)",
                    f"INSERT INTO token_loss VALUES ({number}, ?, '{{}}')",
                ):
                    self._database.execute(sql, [row["example_id"]])
            self._database.execute("INSERT INTO shard VALUES (?, 3, now(), ?, 3.0, 'x')", [shard.stem, number])
        ((run_id,),) = self._database.execute("SELECT count(*) + 1 FROM run").fetchall()
        sets = [request["loss_sets"][role] for role in ("base", "reference")]
        values = [run_id, request["run"], *sets, json.dumps(request["description"])]
        self._database.execute("INSERT INTO run VALUES (?, ?, 1, ?, ?, ?, now())", values)
        job.finish({"state": "done", "tokens": 1})
        job.settle()

    def forget_runs(self) -> None:
        self._database.execute("DELETE FROM run")

    def open(self) -> Store:
        self._database.close()
        return Store.open(self.folder, "a test")


@pytest.fixture
def earlier(tmp_path: Path, base: Path) -> EarlierWorkspace:
    return EarlierWorkspace(tmp_path / "workspace", base)


def held(store: Store, table: str = "loss") -> dict[str, int]:
    """How many losses there are, by the last part of the model's name."""
    sql = f"SELECT model_label, count(t.example_id) FROM loss_set LEFT JOIN {table} t USING (loss_set_id) GROUP BY ALL"
    return {Path(label).name: int(count) for label, count in store.rows(sql)}


def overwrite_a_norm(folder: Path, base: Path) -> None:
    path, name = folder / "adapter_model.safetensors", "model.norm.weight"
    own = load_file(base / "model.safetensors")[name] + 0.5
    save_file({**load_file(path), f"base_model.model.{name}": own}, path, {"format": "pt"})


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [
        ("LoRA", "float32", set()),
        ("DoRA", "float32", set()),
        ("LoRA on the head", "float32", set()),
        ("a trained head", "float32", set()),
        ("trained tokens", "float32", set()),
        ("LoRA on parameters", "float32", set()),
        ("LoRA", "bfloat16", set()),
        ("PiSSA", "float32", {"base"}),
        ("OLoRA", "float32", {"base"}),
        ("all biases", "float32", {"base"}),
        ("biases of its layers", "float32", {"base"}),
        ("PiSSA", "bfloat16", {"base", "reference"}),
        ("LoRA that begins at a token", "float32", {"reference"}),
    ],
)
def test_what_an_adapter_is_tells_whose_losses_may_be_wrong(
    earlier: EarlierWorkspace, name: str, dtype: str, expected: set[str]
) -> None:
    models = {"base": earlier.base, "reference": earlier.adapter("adapter", KINDS[name])}
    assert set(unsound_roles(models, dtype, earlier.folder)) == expected


def test_a_beginning_that_cannot_be_made_again_was_wrong_in_both(earlier: EarlierWorkspace) -> None:
    models = {"base": earlier.base, "reference": earlier.adapter("a", Kind({"init_lora_weights": "pissa_niter_4"}))}
    assert set(unsound_roles(models, "float32", earlier.folder)) == {"base", "reference"}


def test_weights_that_overwrite_the_base_s_are_told_from_copies_of_them(earlier: EarlierWorkspace, base: Path) -> None:
    spec = earlier.adapter("adapter", KINDS["LoRA"])
    overwrite_a_norm(Path(str(spec.adapter)), base)
    spec = resolve_model(str(spec.adapter), earlier.folder, earlier.base)
    reasons = unsound_roles({"base": earlier.base, "reference": spec}, "float32", earlier.folder)
    assert reasons["base"].endswith("replaces the base's model.norm.weight")


def test_tokens_that_only_the_tokenizer_beside_an_adapter_has_were_left_out(earlier: EarlierWorkspace) -> None:
    spec = earlier.adapter("adapter", KINDS["LoRA"])
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["<one>"])
    tokenizer.save_pretrained(Path(str(spec.adapter)))
    assert set(unsound_roles({"base": earlier.base, "reference": spec}, "float32", earlier.folder)) == {"reference"}


def test_a_reference_of_the_workspace_is_found_where_the_workspace_lies_now(earlier: EarlierWorkspace) -> None:
    spec = earlier.adapter("adapter", KINDS["LoRA"])
    shutil.move(str(spec.adapter), earlier.folder / "models" / "taught")
    moved = ModelSpec("taught", spec.path, spec.adapter, spec.weights_hash)
    assert unsound_roles({"base": earlier.base, "reference": moved}, "float32", earlier.folder) == {}


def _remove(folder: Path) -> None:
    shutil.rmtree(folder)


def _replace(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    save_file({name: tensor * 2 for name, tensor in load_file(path).items()}, path, {"format": "pt"})


@pytest.mark.parametrize("lose", [_remove, _replace])
def test_an_adapter_that_is_gone_or_another_now_cannot_be_asked_and_its_base_s_losses_are_dropped(
    earlier: EarlierWorkspace, lose: Callable[[Path], None]
) -> None:
    spec = earlier.adapter("adapter", KINDS["LoRA"])
    earlier.take_in(earlier.job(spec))
    lose(Path(str(spec.adapter)))
    with earlier.open() as store:
        assert held(store) == {"base": 0, "adapter": 3}
        (notice,) = notices_of(store)
        assert "is gone or has changed, so its effect on the base is unknown" in notice


def test_a_store_of_version_0_5_0_opens_without_its_wrong_losses_and_says_so(earlier: EarlierWorkspace) -> None:
    wrong, right = earlier.adapter("wrong", KINDS["PiSSA"]), earlier.adapter("right", KINDS["LoRA"])
    earlier.take_in(earlier.job(wrong))
    earlier.take_in(earlier.job(right, ("reference",)))
    with earlier.open() as store:
        assert store.rows("SELECT version FROM store_version") == [(STORE_VERSION,)]
        (notice,) = notices_of(store)
        assert notice.startswith("3 losses of ")
        assert "subtracts its initialisation from the base's weights (init_lora_weights pissa)" in notice
        assert notice.endswith("Score again what was saved as 'wrong', 'right'.")
        for table in ("loss", "token_loss"):
            assert held(store, table) == {"base": 0, "wrong": 3, "right": 3}
        assert store.rows("SELECT bool_and(not_scored), count(*) FROM scored_1") == [(True, 3)]
        assert store.rows("SELECT sum(not_scored::INTEGER) FROM scored_2") == [(3,)]
        assert store.rows("SELECT noise_floor FROM loss_set ORDER BY 1 NULLS FIRST") == [(None,), (0.0,), (0.0,)]
        assert check_workspace(store, lambda _: None) == []
    with Store.open(earlier.folder, "a test") as again:
        assert notices_of(again) == []
        assert held(again) == {"base": 0, "wrong": 3, "right": 3}


def test_losses_of_bases_under_adapters_that_leave_them_alone_stay(earlier: EarlierWorkspace) -> None:
    for name in ("LoRA", "DoRA", "trained tokens", "trained norms"):
        earlier.take_in(
            earlier.job(earlier.adapter(name, KINDS[name]), ("base", "reference") if name == "LoRA" else ("reference",))
        )
    with earlier.open() as store:
        assert held(store)["base"] == 3
        assert notices_of(store) == []


def test_scoring_again_gives_the_base_s_own_losses(earlier: EarlierWorkspace, base: Path) -> None:
    wrong = earlier.adapter("wrong", KINDS["PiSSA"])
    earlier.take_in(earlier.job(wrong))
    with earlier.open() as store:
        plan = plan_scoring(store, ScoreRequest("numbers", str(base), wrong.label, "wrong", "alpaca", device="cpu"))
        assert plan.computed == {"base": 3, "reference": 0}
        job = create_score_job(store, plan)
        job.finish({"state": "done", **score(job)})
        ingest_finished_jobs(store)
        found = [loss for (loss,) in store.rows("SELECT base_loss FROM scored_1 ORDER BY row_number")]
    rows = encode_examples(EXAMPLES, load_tokenizer(earlier.base), earlier.encoding)
    np.testing.assert_allclose(found, exact_losses(exact_model(base), rows), rtol=0, atol=1e-4)


def test_losses_of_a_job_that_never_became_a_run_are_found_by_the_job(earlier: EarlierWorkspace) -> None:
    job = earlier.job(earlier.adapter("wrong", KINDS["PiSSA"]))
    earlier.take_in(job)
    earlier.forget_runs()
    with earlier.open() as store:
        (notice,) = notices_of(store)
        assert notice.endswith("They are computed again when needed.")
        assert held(store) == {"base": 0, "wrong": 3}


def test_a_base_s_losses_of_which_no_run_and_no_job_is_left_are_dropped(earlier: EarlierWorkspace) -> None:
    job = earlier.job(earlier.adapter("right", KINDS["LoRA"]))
    earlier.take_in(job)
    earlier.forget_runs()
    shutil.rmtree(job.folder)
    with earlier.open() as store:
        (notice,) = notices_of(store)
        assert "the runs and jobs that computed them are gone" in notice
        assert held(store) == {"base": 0, "right": 3}


def test_shards_of_an_earlier_version_s_job_do_not_reach_the_store(earlier: EarlierWorkspace) -> None:
    job = earlier.job(earlier.adapter("wrong", KINDS["PiSSA"]))
    with earlier.open() as store:
        ingest_finished_jobs(store)
        assert held(store) == {"base": 0, "wrong": 3}
        assert job.state == "interrupted"
        assert job.shards_of("base") == []


def test_a_job_that_an_earlier_version_finished_fails_with_a_sentence_instead(earlier: EarlierWorkspace) -> None:
    job = earlier.job(earlier.adapter("wrong", KINDS["PiSSA"]))
    job.finish({"state": "done", "tokens": 1})
    with earlier.open() as store:
        ingest_finished_jobs(store)
        assert held(store) == {"base": 0, "wrong": 3}
        assert store.rows("SELECT count(*) FROM run") == [(0,)]
    assert job.state == "failed"
    assert "computed losses of this job (base)" in (job.outcome or {})["message"]
    assert job.is_settled


def test_what_a_worker_of_the_earlier_version_still_writes_is_dropped_too(earlier: EarlierWorkspace) -> None:
    job = earlier.job(earlier.adapter("wrong", KINDS["PiSSA"]))
    (kept,) = job.shards_of("base")
    content = kept.read_bytes()
    with at_work(job):
        assert drop_unsound_shards(job) == ["base"]
        kept.write_bytes(content)
        assert drop_unsound_shards(job) == ["base"]
        kept.write_bytes(content)
    assert drop_unsound_shards(job) == ["base"]
    assert drop_unsound_shards(job) == []


def test_a_worker_that_goes_on_with_such_a_job_computes_its_base_anew(earlier: EarlierWorkspace, base: Path) -> None:
    job = earlier.job(earlier.adapter("wrong", KINDS["PiSSA"]))
    score(job)
    rows = {row["example_id"]: row for shard in job.shards_of("base") for row in read_shard(shard).to_pylist()}
    found = [rows[str(e.example_id)]["nll_sum"] / rows[str(e.example_id)]["token_count"] for e in EXAMPLES]
    encoded = encode_examples(EXAMPLES, load_tokenizer(earlier.base), earlier.encoding)
    np.testing.assert_allclose(found, exact_losses(exact_model(base), encoded), rtol=0, atol=1e-4)
    assert drop_unsound_shards(job) == []
    reference: list[dict[str, Any]] = read_shard(job.shards_of("reference")[0]).to_pylist()
    assert {row["nll_sum"] for row in reference} == {WRONG}
