"""Scores every case of a folder in this process, while a hook of Python's own watches what it opens and calls.

python -m tests.core.hostile_model_run FOLDER: reads cases.json, a list of [name, base, reference], and writes a JSON
line a case on standard output: how it ended, what it took of the processor, and what it did that it must not do. The
process that renders templates is watched likewise (`templates` in place of FOLDER); it leaves a file if it misbehaves.
"""

import json
import os
import resource
import runpy
import sys
import time
from pathlib import Path
from typing import Any

FORBIDDEN = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn")
PICKLES = (".bin", ".pt", ".ckpt")
TEMPLATES = "templates"
RENDERING = [sys.executable, "-m", "tests.core.hostile_model_run", TEMPLATES]
seen: list[str] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Stop what must not happen, and note it: an exception alone might be swallowed."""
    if event in FORBIDDEN and not (event == "subprocess.Popen" and list(arguments[1]) == RENDERING):
        seen.append(f"{event} {arguments!r}"[:200])
        raise RuntimeError(f"a test forbids {event}")
    if event == "open" and str(arguments[0]).endswith(PICKLES):
        seen.append(f"opened {arguments[0]}")
    if event == "import" and str(arguments[0]) in ("antigravity", "modeling_own", "tokenization_own"):
        seen.append(f"imported {arguments[0]}")


def watch_templates(event: str, arguments: tuple[Any, ...]) -> None:
    """`watch`, for the process that renders; what is seen there is told by a file."""
    try:
        watch(event, arguments)
    finally:
        if seen:
            seen.clear()
            Path(os.environ["HOSTILE_MARKER"]).touch()


def processor_seconds() -> float:
    """What this process took of the processor, and those that it started and that ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main(folder: Path) -> None:
    """Score all cases of the folder."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from core import worker
    from core.data.errors import UserError
    from core.data.examples import DatasetRow, Example, Message
    from core.encoding import template_process
    from core.jobs.job import Job
    from core.jobs.shards import read_shard
    from core.scoring.planning import ScoreRequest, create_score_job, plan_scoring
    from core.store import Store

    template_process.module_command = lambda _module: RENDERING

    texts = [*(f"{number} and {number + 1}" for number in range(5)), "a" * 30 + "!"]
    rows = [
        DatasetRow(number + 1, "all", Example((Message("user", "Count."), Message("assistant", text))), b"{}")
        for number, text in enumerate(texts)
    ]

    def score(store: Store, base: str, reference: str) -> str:
        plan = plan_scoring(store, ScoreRequest("rows", base, reference, device="cpu"))
        job: Job = create_score_job(store, plan)
        worker.main([str(job.folder)])
        outcome = job.outcome or {"message": "the worker left no outcome"}
        if outcome.get("state") != "done":
            return str(outcome["message"])
        reasons = {reason for path in job.shards for reason in read_shard(path)["reason"].to_pylist()}
        return " | ".join(sorted(reason or "scored" for reason in reasons))

    sys.addaudithook(watch)
    with Store.open(folder / "workspace", "a test") as store:
        store.add_source("rows", "rows.jsonl", "jsonl", "a hash", {}, iter(rows))
        for name, base, reference in json.loads((folder / "cases.json").read_text(encoding="utf-8")):
            seen.clear()
            began = processor_seconds()
            try:
                end = score(store, base, reference)
            except UserError as error:
                end = f"{type(error).__name__}: {error}"
            # Anything else is a defect, and is told as one.
            except BaseException as error:  # noqa: BLE001
                end = f"DEFECT {type(error).__name__}: {error}"
            seconds = processor_seconds() - began
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            line = {
                "case": name,
                "end": end,
                "seconds": seconds,
                "seen": list(seen),
                "memory": memory,
            }
            answers.write(json.dumps(line) + "\n")
            answers.flush()


if __name__ == "__main__":
    if sys.argv[1] == TEMPLATES:
        sys.addaudithook(watch_templates)
        runpy.run_module("core.encoding.template_worker", run_name="__main__")
    else:
        main(Path(sys.argv[1]))
