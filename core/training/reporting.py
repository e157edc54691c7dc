"""Progress of a training job, its loss curve, and its end when it is cancelled."""

import logging
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from ..jobs.job import Job
from ..jobs.job_progress import Progress
from .checkpoints import CHECKPOINT_COMPLETE, flush_checkpoint
from .loss_curve import LossWindow

log = logging.getLogger("worker")


class TrainingReporter(TrainerCallback):  # type: ignore[misc]
    """Progress, the loss curve, cancelling, and the mark of a whole checkpoint."""

    def __init__(self, job: Job, window: LossWindow, steps: int, done: int = 0, models: int = 1) -> None:
        self._job, self._window = job, window
        self._done, self._models = done, models
        self._every = max(1, steps // 60)
        self._began = time.monotonic()
        self._first_step = self._first_tokens = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began, self._first_step = time.monotonic(), state.global_step
        self._window.go_on(state.global_step, _checkpoint(args, state) / CHECKPOINT_COMPLETE)
        self._first_tokens = self._window.total_tokens
        if state.global_step:
            log.info("going on from step %s of %s", state.global_step, state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step, elapsed = state.global_step, time.monotonic() - self._began
        if step % self._every == 0 or step == state.max_steps:
            self._window.record(step)
        ran = step - self._first_step
        left = state.max_steps * (self._models - self._done) - step
        phase = "Training the reference" if self._models == 1 else f"Training model {self._done + 1} of {self._models}"
        self._job.report(
            Progress(
                phase,
                step,
                state.max_steps,
                "steps",
                (self._window.total_tokens - self._first_tokens) / elapsed if elapsed else None,
                left * elapsed / ran if ran else None,
                elapsed,
            )
        )
        if self._job.is_cancelled:
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        checkpoint = _checkpoint(args, state)
        flush_checkpoint(checkpoint)
        self._window.save(checkpoint / CHECKPOINT_COMPLETE)


def _checkpoint(args: Any, state: Any) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"
