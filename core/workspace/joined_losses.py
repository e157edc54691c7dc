"""Losses of several sites in one ranking: a run's loss bundle, and what bundles give together."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..data.errors import ExportFailed, NotFound, SourceUnreadable
from ..data.loss_roles import require_roles
from ..data.scores import SCORES
from ..exporting.loss_bundles import MODELS, SCHEMA, LossBundle, SharedKey, bundle_bytes, read_bundle
from ..selection import scored_run
from ..store import Store
from ..system.atomic_files import write_durably
from ..system.workspace_files import check_output

MERGED_SCORES = ("learnability", "loss_difference", "implicit_reward")
"""Scores that bundles have the losses for."""
_ROWS = "WHERE duplicate_of IS NULL"
_SCORED = "token_count > 0 AND base_nll_sum IS NOT NULL AND reference_nll_sum IS NOT NULL"


def write_loss_bundle(store: Store, run: str, key: SharedKey, path: Path) -> dict[str, Any]:
    """Write the bundle of a run's losses: each conversation once, in the domain of its first row. Returns run, rows,
    rows_without_loss (left out) and path. Raises `NotFound`, `SelectionInvalid` for a run without a base or reference,
    `ExportFailed`, and `PathRefused` in the workspace."""
    check_output(path, store.workspace)
    bundle = _bundle(store, run, key)
    try:
        write_durably(path, [bundle_bytes(bundle, key)])
    except OSError as error:
        raise ExportFailed(f"{path} cannot be written ({error.strerror}). Nothing was left behind.") from error
    rows = bundle.table.num_rows
    return {"run": run, "rows": rows, "rows_without_loss": bundle.rows_without_loss, "path": str(path)}


def _bundle(store: Store, run: str, key: SharedKey) -> LossBundle:
    found = scored_run(store, run)
    require_roles("A loss bundle", ("base", "reference"), found.roles)
    sql = "SELECT model_fingerprint, encoding_fingerprint FROM loss_set WHERE loss_set_id = ?"
    loss_sets = store.run(run)["loss_sets"]
    (base, encoding), (reference, _) = (store.rows(sql, [loss_sets[role]])[0] for role in ("base", "reference"))
    rows = store.arrow(
        "SELECT example_id::VARCHAR AS example_id, domain, token_count::BIGINT AS token_count, base_nll_sum, "
        f"reference_nll_sum FROM {found.table} {_ROWS} AND {_SCORED}"
    )
    total = int(store.rows(f"SELECT count(*) FROM {found.table} {_ROWS}")[0][0])
    domains = {name: key.name("domain", name) for name in found.totals}
    keys = [
        pa.array([key.name("row", example_id) for example_id in rows["example_id"].to_pylist()], pa.binary(16)),
        pa.array([domains[domain] for domain in rows["domain"].to_pylist()], pa.binary(16)),
    ]
    table = pa.table([*keys, *(rows[name] for name in SCHEMA.names[2:])], SCHEMA.names)
    fingerprints = {"base": base, "reference": reference, "encoding": encoding}
    return LossBundle(fingerprints, total - rows.num_rows, table)


def merged_ranking(
    paths: Sequence[Path], key: SharedKey, score: str = MERGED_SCORES[0], once: bool = False
) -> pa.Table:
    """The rows of all bundles, best first, whatever the order of the bundles: rank and quantile (share of the other
    rows with a lower score), among all rows and in the row's domain; row_key and domain_key (hexadecimal), token_count,
    the mean losses [nats per token] and `MERGED_SCORES`. Equal scores are ordered by row_key. Rows whose score is
    undefined are not ranked, and come last. With `once`, a row of several bundles is as the first of them has it.

    Raises `SourceUnreadable` for a file that is no bundle under this key, bundles of other models or another encoding,
    and, without `once`, a row that stands in two bundles.
    """
    if score not in MERGED_SCORES:
        raise SourceUnreadable(
            f"Bundles cannot be ranked by {score[:40]!r}. Must be one of: {', '.join(MERGED_SCORES)}."
        )
    bundles = [(path, read_bundle(path, key)) for path in paths]
    _check_alike(bundles)
    return _ranked(pa.concat_tables(_rows_by_bundle(bundles, once)), score)


def own_rows(store: Store, run: str, key: SharedKey, merged: pa.Table) -> pa.Table:
    """The rows of a merged ranking that a run has, with example_id and domain in the place of their keys: a file of
    scores for `scores import`. Raises `NotFound` if there are none."""
    found = scored_run(store, run)
    rows = store.rows(f"SELECT example_id::VARCHAR, domain FROM {found.table} {_ROWS}")
    known = {key.name("row", example_id).hex(): (example_id, domain) for example_id, domain in rows}
    named = [known.get(row_key) for row_key in merged["row_key"].to_pylist()]
    mine = [place for place, row in enumerate(named) if row]
    if not mine:
        raise NotFound(f"No row of the run {run!r} is in these bundles. Make its bundle and give it too.")
    names = pa.table([[named[place][column] for place in mine] for column in (0, 1)], ["example_id", "domain"])  # type: ignore[index]
    kept = merged.take(mine).drop_columns(["row_key", "domain_key"])
    return pa.table([*names.columns, *kept.columns], [*names.column_names, *kept.column_names])


def _check_alike(bundles: Sequence[tuple[Path, LossBundle]]) -> None:
    (first, expected), *others = bundles
    for path, bundle in others:
        for name in MODELS:
            there, here = bundle.fingerprints[name], expected.fingerprints[name]
            if there != here:
                raise SourceUnreadable(
                    f"{path.name} is of another {name} than {first.name} ({there[:12]} and {here[:12]}), so their "
                    "losses cannot be ranked together. Score all sites with one base, reference and encoding."
                )


def _rows_by_bundle(bundles: Sequence[tuple[Path, LossBundle]], once: bool) -> Iterator[pa.Table]:
    """The rows of each bundle that no earlier one has."""
    holder: dict[bytes, Path] = {}
    for path, bundle in bundles:
        keys = bundle.table["row_key"].to_pylist()
        twice = [row_key for row_key in keys if row_key in holder]
        if twice and not once:
            raise SourceUnreadable(
                f"{len(twice):,} rows stand in {holder[twice[0]].name} and in {path.name}, such as "
                f"{twice[0].hex()}. Give each bundle once, or merge with --once if sites share rows."
            )
        yield bundle.table.filter(pa.array([row_key not in holder for row_key in keys], pa.bool_()))
        holder |= dict.fromkeys(keys, path)


def _ranked(table: pa.Table, score: str) -> pa.Table:
    sums = {name: table[name].to_numpy() for name in ("base_nll_sum", "reference_nll_sum")}
    tokens = table["token_count"].to_numpy()
    losses = {name.replace("nll_sum", "loss"): nats / tokens for name, nats in sums.items()}
    scores = {name: SCORES[name].compute({**sums, **losses}) for name in MERGED_SCORES}  # type: ignore[misc]
    row_keys, domains = (np.array(table[name].to_pylist(), "S16") for name in ("row_key", "domain_key"))
    order = np.lexsort((row_keys, -scores[score]))  # NaN last
    ranked = scores[score][order]
    ranks, quantiles = _standing(ranked)
    in_domain = np.full(len(order), np.nan), np.full(len(order), np.nan)
    for domain in np.unique(domains):
        rows = domains[order] == domain
        for values, found in zip(in_domain, _standing(ranked[rows]), strict=True):
            values[rows] = found
    columns = {
        "rank": pa.array(ranks, pa.int64(), from_pandas=True),
        "rank_in_domain": pa.array(in_domain[0], pa.int64(), from_pandas=True),
        "quantile": pa.array(quantiles, from_pandas=True),
        "quantile_in_domain": pa.array(in_domain[1], from_pandas=True),
        **{name: [key.hex() for key in table[name].take(order).to_pylist()] for name in ("row_key", "domain_key")},
        "token_count": tokens[order],
        **{name: values[order] for name, values in losses.items()},
        **{name: pa.array(values[order], from_pandas=True) for name, values in scores.items()},
    }
    return pa.table(columns)


def _standing(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rank from 1, and share of the other values that are lower, of values that fall; NaN, at their end, has
    neither."""
    count = int((~np.isnan(values)).sum())
    places = np.where(np.isnan(values), np.nan, np.arange(1.0, len(values) + 1))
    lower = np.searchsorted(values[:count][::-1], values, "left") / max(1, count - 1)
    return places, np.where(np.isnan(values), np.nan, lower)
