"""The warm token worker. Reads one JSON request per line, and answers each with one line.

It ends when its input closes, so it never outlives its parent, or after an idle timeout. `core.scoring.tokens.engine`
documents the answers; a failed request is answered with {"error": sentence}.
"""

import json
import logging
import os
import select
import sys
import traceback
from typing import Any, BinaryIO

from ...data import settings
from ...data.errors import UserError
from ...system.worker_log import in_short, log_for_people

log = logging.getLogger("token_worker")


def main() -> int:
    """Answer until the input ends or the idle timeout `token_worker_idle_seconds` expires; exits 0."""
    answers = _take_stdout()
    log_for_people(log)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from .engine import TokenEngine  # imported here: output that libraries print on import must not mix with answers

    engine = TokenEngine()
    idle_seconds = settings.number("token_worker_idle_seconds")
    log.info("ready (process %d)", os.getpid())
    while line := _next_request(idle_seconds):
        answers.write(json.dumps(_answer(engine, line)).encode() + b"\n")
        answers.flush()
    return 0


def _take_stdout() -> BinaryIO:
    """Reserve standard output for answers; all other output goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _next_request(idle_seconds: float) -> bytes:
    """The next line; empty when the input has ended or the idle timeout expired.

    No second line can wait in a buffer, where select would not see it: each request follows an answer.
    """
    ready, _, _ = select.select([sys.stdin], [], [], idle_seconds)
    return sys.stdin.buffer.readline() if ready else b""


def _answer(engine: Any, line: bytes) -> dict[str, Any]:
    try:
        return dict(engine.answer(json.loads(line)))
    except UserError as error:
        log.info("refused: %s", error)
        return {"error": str(error)}
    # Last resort, as in core.worker: a sentence for the user, the traceback for the log.
    except Exception as error:  # noqa: BLE001
        log.info("failed unexpectedly:\n%s", traceback.format_exc())
        return {"error": f"The token worker had an unexpected error ({in_short(error)}). See its log."}


if __name__ == "__main__":
    # Exit at once: torch takes seconds to shut down, and requests would wait for a worker that is ending.
    os._exit(main())
