"""A worker kept warm. Reads requests, one JSON object a line, and answers each by a line.

It ends when its input does, so it never outlives whoever started it, and when nobody has asked for a while. What an
answer holds, `core.scoring.tokens.engine` says; a request that cannot be met is answered by {"error": sentence}.
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
    """Answer until the input ends or nothing is asked for `token_worker_idle_seconds`; exit 0."""
    answers = _take_stdout()
    log_for_people(log)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from .engine import TokenEngine  # here: what libraries print while they load must not reach the answers

    engine = TokenEngine()
    idle_seconds = settings.number("token_worker_idle_seconds")
    log.info("ready (process %d)", os.getpid())
    while line := _next_request(idle_seconds):
        answers.write(json.dumps(_answer(engine, line)).encode() + b"\n")
        answers.flush()
    return 0


def _take_stdout() -> BinaryIO:
    """Keep standard output for answers alone; what anything else prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _next_request(idle_seconds: float) -> bytes:
    """The next line, empty when the input has ended or stayed silent for too long.

    There is never a second line waiting in a buffer, where select would not see it: a request follows an answer.
    """
    ready, _, _ = select.select([sys.stdin], [], [], idle_seconds)
    return sys.stdin.buffer.readline() if ready else b""


def _answer(engine: Any, line: bytes) -> dict[str, Any]:
    try:
        return dict(engine.answer(json.loads(line)))
    except UserError as error:
        log.info("refused: %s", error)
        return {"error": str(error)}
    # The last line of defence, as in core.supervision.worker: a sentence for the person, the traceback for the log.
    except Exception as error:
        log.info("failed unexpectedly:\n%s", traceback.format_exc())
        return {"error": f"The token worker met an unexpected error ({in_short(error)}). Its log says more."}


if __name__ == "__main__":
    # At once: tearing torch down takes seconds, in which whoever asks would wait for a worker that is leaving.
    os._exit(main())
