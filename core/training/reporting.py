"""Progress of a training job, its loss curve, and its end when it is cancelled."""

import logging
import time
from collections import deque
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from ..jobs.job import Job
from ..jobs.job_progress import Progress
from .checkpoints import CHECKPOINT_COMPLETE, flush_checkpoint
from .loss_curve import LossWindow

log = logging.getLogger("worker")
_RECENT_STEPS = 200


class TrainingReporter(TrainerCallback):  # type: ignore[misc]
    """Progress, the loss curve, cancelling, and the mark of a whole checkpoint."""

    def __init__(self, job: Job, window: LossWindow, steps: int, done: int = 0, models: int = 1) -> None:
        self._job, self._window = job, window
        self._done, self._models = done, models
        self._every = max(1, steps // 60)
        self._began = self._step_began = time.monotonic()
        self._first_tokens = 0
        self._step_seconds: deque[float] = deque(maxlen=_RECENT_STEPS)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began = time.monotonic()
        self._window.go_on(state.global_step, _checkpoint(args, state) / CHECKPOINT_COMPLETE)
        self._first_tokens = self._window.total_tokens
        if state.global_step:
            log.info("going on from step %s of %s", state.global_step, state.max_steps)
        self._report(state, 0.0)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._step_began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step, now = state.global_step, time.monotonic()
        self._step_seconds.append(now - self._step_began)
        self._window.end_step(step)
        if step == 1 or step % self._every == 0 or step == state.max_steps:
            self._window.record(step)
        self._report(state, now - self._began)
        if self._job.is_cancelled:
            control.should_training_stop = True

    def _report(self, state: Any, elapsed: float) -> None:
        """The time left is that of recent steps alone; the first one, which warms up, counts only while there is no
        other."""
        step = state.global_step
        measured = list(self._step_seconds)[1:] or list(self._step_seconds)
        left = state.max_steps * (self._models - self._done) - step
        phase = "Training the reference" if self._models == 1 else f"Training model {self._done + 1} of {self._models}"
        self._job.report(
            Progress(
                phase,
                step,
                state.max_steps,
                "steps",
                (self._window.total_tokens - self._first_tokens) / elapsed if elapsed else None,
                left * sum(measured) / len(measured) if measured else None,
                elapsed,
            )
        )

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        checkpoint = _checkpoint(args, state)
        flush_checkpoint(checkpoint)
        self._window.save(checkpoint / CHECKPOINT_COMPLETE)


def _checkpoint(args: Any, state: Any) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"
