"""The training loss of each domain, recorded while a reference trains: of every step, and of windows to be drawn."""

import json
import math
import os
from collections import defaultdict
from pathlib import Path

from ..data.errors import TrainingDiverged
from ..system.atomic_files import write_durably
from ..system.untrusted_json import read_json_object


class LossWindow:
    """Training loss per domain since the last step that was recorded, and of each step.

    `path` gets a line a domain and window (`record`), `steps_path` one a step (`end_step`): step, and by domain nats
    and tokens, sums over the step's scored tokens.
    """

    def __init__(self, path: Path, steps_path: Path) -> None:
        self._path, self._steps_path = path, steps_path
        self._step: dict[str, tuple[float, int]] = {}
        self._unwritten: list[str] = []
        self._nats: dict[str, float] = defaultdict(float)
        self._tokens: dict[str, int] = defaultdict(int)
        self.total_tokens = 0

    def add(self, domains: list[str], nats: list[float], tokens: list[int]) -> None:
        """Add a batch: the domain of each row, the sum of its scored tokens' losses [nats], and their number. Raises
        `TrainingDiverged` if a loss is not finite."""
        if not all(map(math.isfinite, nats)):
            raise TrainingDiverged(
                "The training loss is not a finite number any more, so no reference was made. Lower --learning-rate."
            )
        for domain, row_nats, row_tokens in zip(domains, nats, tokens, strict=True):
            self._nats[domain] += row_nats
            self._tokens[domain] += row_tokens
            self.total_tokens += row_tokens
            step_nats, step_tokens = self._step.get(domain, (0.0, 0))
            self._step[domain] = step_nats + row_nats, step_tokens + row_tokens

    def end_step(self, step: int) -> None:
        """Keep the losses of a step that has ended; they are written with the next record or checkpoint."""
        nats = {domain: sums[0] for domain, sums in sorted(self._step.items())}
        tokens = {domain: self._step[domain][1] for domain in nats}
        self._unwritten.append(json.dumps({"step": step, "nats": nats, "tokens": tokens}, ensure_ascii=False) + "\n")
        self._step.clear()

    def save(self, path: Path) -> None:
        """Write what was added since the last record, for `go_on`."""
        self._write_steps()
        state = {"nats": self._nats, "tokens": self._tokens, "total_tokens": self.total_tokens}
        write_durably(path, [json.dumps(state, ensure_ascii=False).encode()])

    def go_on(self, step: int, saved: Path) -> None:
        """Continue after `step` from what was saved then: what was recorded later is recorded again. Step 0 begins
        anew."""
        for path in filter(Path.exists, (self._path, self._steps_path)):
            lines = path.read_text(encoding="utf-8").split("\n")[:-1]
            kept = [line + "\n" for line in lines if json.loads(line)["step"] <= step]
            write_durably(path, ["".join(kept).encode()])
        if step:
            state = read_json_object(saved)
            self._nats.update(state["nats"])
            self._tokens.update(state["tokens"])
            self.total_tokens = state["total_tokens"]

    def record(self, step: int) -> None:
        """Append one line a domain: step, scored tokens seen so far, mean loss since the last record."""
        points = [
            {"step": step, "tokens": self.total_tokens, "domain": domain, "loss": nats / self._tokens[domain]}
            for domain, nats in sorted(self._nats.items())
        ]
        _append(self._path, [json.dumps(point, ensure_ascii=False) + "\n" for point in points])
        self._write_steps()
        self._nats.clear()
        self._tokens.clear()

    def _write_steps(self) -> None:
        _append(self._steps_path, self._unwritten)
        self._unwritten.clear()


def _append(path: Path, lines: list[str]) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())  # a checkpoint that is written later counts on it
