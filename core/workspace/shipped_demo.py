"""The demo's shipped result: its losses, as a run of the demo computed them, opened without running a model."""

import json
from typing import Any

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..data.errors import ModelUnusable
from ..jobs.shards import SHARD_SCHEMA
from ..models.resolving import DEMO_BASE, resolve_model
from ..scoring.cross_fitting import fill_combined_sets
from ..scoring.reference_kind import SHIPPED
from ..selection import save_selection
from ..store import Store
from ..system.program import DEMO
from .demo import NAME, RECIPE, SELECTION, import_demo

RESULT = DEMO / "result"
LOSSES = RESULT / "losses.parquet"
"""A row for each model and example: role, the columns of a shard, `trained` (the model saw it), row_number, domain."""
RUN = RESULT / "run.json"
"""The run's description without paths, and the numerical noise of each model's losses [nats per token]."""


def open_shipped_demo(store: Store) -> None:
    """Import the demo's dataset and save its run and selection from the shipped losses; repeating changes nothing.

    The models of the reference are not shipped: only the losses of each token want them. Raises `ModelUnusable` if the
    losses are of another base model.
    """
    import_demo(store)
    description, noise = _described(store)
    table = pq.read_table(LOSSES)
    loss_sets = {}
    for role in description["models"]:
        fingerprint, label = description["model_fingerprints"][role], description["models"][role]["label"]
        loss_sets[role] = store.ensure_loss_set(fingerprint, description["encoding_fingerprint"], label)
        of_role = table.filter(pc.equal(table["role"], role))
        shard = f"shipped-demo-{role}"
        if shard not in store.ingested_shards(shard):
            store.ingest_shard(shard, loss_sets[role], of_role.select(SHARD_SCHEMA.names).cast(SHARD_SCHEMA))
        store.set_noise_floor(loss_sets[role], noise[role])
        if seen := of_role.filter(of_role["trained"])["example_id"].to_pylist():
            store.record_training(fingerprint, seen)
    combined = fill_combined_sets(store, NAME, description, loss_sets)
    store.save_run(NAME, NAME, {"base": loss_sets["base"], **combined}, description)
    save_selection(store, SELECTION, RECIPE, replace_existing=True)


def shipped_points() -> pd.DataFrame:
    """The unique rows of the shipped result: row_number, domain, base_loss and cross-fitted reference_loss
    [nats per token]."""
    losses = pq.read_table(LOSSES).to_pandas()
    losses["loss"] = losses["nll_sum"] / losses["token_count"]
    by_row = ["row_number", "domain"]
    base = losses[losses["role"] == "base"].set_index(by_row)["loss"]
    unseen = losses[(losses["role"] != "base") & ~losses["trained"]]
    reference = unseen.groupby(by_row)["loss"].mean()
    return pd.DataFrame({"base_loss": base, "reference_loss": reference}).dropna().reset_index()


def _described(store: Store) -> tuple[dict[str, Any], dict[str, float]]:
    """The run's description with the paths of this machine, and the noise by role."""
    shipped = json.loads(RUN.read_bytes())
    description: dict[str, Any] = shipped["description"]
    base = resolve_model(DEMO_BASE, store.workspace)
    if base.weights_hash != description["models"]["base"]["weights_hash"]:
        raise ModelUnusable("The demo's shipped losses are of another base model. Run the demo instead.")
    for model in description["models"].values():  # where the reference's models lie if they are trained here later
        model["path"] = str(store.workspace / "models" / model["label"])
    description["models"]["base"]["path"] = base.path
    return description | {SHIPPED: True}, shipped["noise"]
