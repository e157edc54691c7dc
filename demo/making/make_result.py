"""Writes demo/result/ from a workspace in which `python -m core demo` has run: the losses of its run, as they are.

python -m core demo --workspace DIR
python demo/making/make_result.py DIR
"""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from core.store import Store
from core.workspace.demo import NAME
from core.workspace.shipped_demo import LOSSES, RUN

QUERY = """
SELECT ? AS role, l.example_id::VARCHAR AS example_id, nll_sum, token_count, truncated, reason, left_out, end_nll_sum,
    end_token_count, t.example_id IS NOT NULL AS trained, row_number, domain
FROM loss l JOIN loss_set s USING (loss_set_id)
LEFT JOIN trained_example t ON t.model_fingerprint = s.model_fingerprint AND t.example_id = l.example_id
JOIN (
    SELECT example_id, min(row_number) AS row_number, arg_min(domain, row_number) AS domain
    FROM dataset_row WHERE dataset_id = ? GROUP BY ALL
) r ON r.example_id = l.example_id
WHERE s.model_fingerprint = ? AND s.encoding_fingerprint = ? ORDER BY row_number
"""


def main(workspace: Path) -> None:
    """Write both files."""
    with Store.open(workspace, "the making of the demo's result") as store:
        description = store.run(NAME)["description"]
        tables, noise = [], {}
        for role, model in description["models"].items():
            keys = [description["model_fingerprints"][role], description["encoding_fingerprint"]]
            tables.append(store.arrow(QUERY, [role, store.dataset_id(NAME), *keys]))
            loss_set = store.ensure_loss_set(*keys, model["label"])
            noise[role] = store.noise_floors([loss_set])[0]
            model["path"] = ""
    LOSSES.parent.mkdir(exist_ok=True)
    pq.write_table(pa.concat_tables(tables), LOSSES, compression="zstd", compression_level=19)
    RUN.write_text(json.dumps({"description": description, "noise": noise}, indent=1) + "\n", encoding="utf-8")
    print(f"{sum(table.num_rows for table in tables):,} losses in {LOSSES} ({LOSSES.stat().st_size:,} bytes).")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
