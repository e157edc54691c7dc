"""Losses token by token: they add up to what the row was scored with; a warm process computes, the store keeps them."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.data.errors import NotFound, NothingScored, TokensUnavailable, UserError
from core.models.resolving import PROVENANCE
from core.scoring.tokens import token_process
from core.scoring.tokens.losses import TokenScorer
from core.store import Store
from tests.core.scored_models import score_examples
from tests.tiny_models import MIXED_EXAMPLES, example, save_model_folder
from tests.waiting import wait_for

ROOT = Path(__file__).parents[3]
MAX_LENGTH = 120  # cuts the row that counts to 149
EXAMPLES = (*MIXED_EXAMPLES, example(("user", "word " * 400), ("assistant", "Too late.")))
TRUNCATED, SEVERAL_TURNS, NOTHING_SCORED = 4, 5, 11


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_reference: Path) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("tokens") / "workspace", "a test") as opened:
        score_examples(opened, EXAMPLES, tiny_base, tiny_reference, max_length=MAX_LENGTH)
        yield opened


@pytest.fixture(scope="module")
def scorer(store: Store) -> Iterator[TokenScorer]:
    made = TokenScorer(store)
    yield made
    made.close()


@pytest.fixture
def changing(store: Store, tmp_path: Path, tiny_base: Path, tiny_reference: Path) -> Path:
    """Folder of a reference for a test to change; the folder above it names a run that was scored with it."""
    folder = Path(shutil.copytree(tiny_reference, tmp_path / "reference"))
    forget_tokens(store)
    score_examples(store, EXAMPLES, tiny_base, folder, run=tmp_path.name, max_length=MAX_LENGTH)
    return folder


def stored_sums(store: Store, row_number: int) -> dict[str, float]:
    table = store.run("tiny")["table"]
    sums = store.rows(f"SELECT base_nll_sum, reference_nll_sum FROM {table} WHERE row_number = ?", [row_number])[0]
    return dict(zip(("base", "reference"), sums, strict=True))


def test_the_scored_tokens_of_every_row_add_up_to_its_stored_sums(store: Store, scorer: TokenScorer) -> None:
    for row_number in range(1, len(MIXED_EXAMPLES) + 1):
        losses = scorer.token_losses("tiny", row_number)
        assert losses.doubts == ()
        for role, stored in stored_sums(store, row_number).items():
            assert losses.nll_sum(role) == pytest.approx(stored, rel=1e-4)
        for scored, base, difference in zip(losses.scored, losses.base, losses.differences, strict=True):
            assert scored == (base is not None) == (difference is not None)
        assert bool(losses.cut_characters) == (row_number == TRUNCATED)
    truncated = scorer.token_losses("tiny", TRUNCATED)
    assert len(truncated.pieces) == MAX_LENGTH


def test_every_assistant_turn_is_scored_and_nothing_else(scorer: TokenScorer) -> None:
    losses = scorer.token_losses("tiny", SEVERAL_TURNS)
    scored = "".join(piece for piece, counts in zip(losses.pieces, losses.scored, strict=True) if counts)
    assert scored == "There are 12.<|end|>7 of them are green.<|end|>You are welcome.<|end|>"


def test_a_second_look_needs_no_worker(store: Store, scorer: TokenScorer) -> None:
    computed = scorer.token_losses("tiny", 1)
    with_no_worker = TokenScorer(store)
    assert with_no_worker.cached("tiny", 1) == computed
    assert with_no_worker.token_losses("tiny", 1) == computed
    assert with_no_worker.process_id is None


def test_a_row_of_which_nothing_is_scored_says_why_without_a_worker(store: Store) -> None:
    scorer = TokenScorer(store)
    with pytest.raises(NothingScored, match="prompt fills the maximum length"):
        scorer.token_losses("tiny", NOTHING_SCORED)
    assert scorer.process_id is None


def test_a_row_that_is_not_there_is_one_sentence(scorer: TokenScorer) -> None:
    with pytest.raises(NotFound, match="no row 99"):
        scorer.cached("tiny", 99)


def test_a_worker_that_dies_while_it_is_asked_is_told_and_the_next_request_starts_another(
    store: Store, scorer: TokenScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_process, "_LOOK_SECONDS", 60.0)  # else it is killed for being stopped
    forget_tokens(store)
    scorer.token_losses("tiny", 1)
    process = scorer._process._process
    assert process is not None
    problems: list[UserError] = []

    def ask() -> None:
        try:
            scorer.token_losses("tiny", 2)
        except UserError as error:
            problems.append(error)

    os.kill(process.pid, signal.SIGSTOP)  # it will never read the request
    asking = threading.Thread(target=ask)
    asking.start()
    wait_for(lambda: int.from_bytes(fcntl.ioctl(process.stdin, termios.FIONREAD, b"\0" * 4), "little"), "the request")
    os.kill(process.pid, signal.SIGKILL)
    asking.join()
    assert isinstance(problems[0], TokensUnavailable)
    assert "ended before it answered: it was killed, perhaps out of memory. Try again" in str(problems[0])
    assert sum(scorer.token_losses("tiny", 2).scored) > 0
    assert scorer.process_id not in (None, process.pid)


def test_a_model_that_was_changed_after_scoring_is_refused_and_nothing_is_cached(
    store: Store, scorer: TokenScorer, changing: Path
) -> None:
    save_model_folder(changing, seed=9)
    with pytest.raises(TokensUnavailable, match=r"The weights of the model .* changed"):
        scorer.token_losses(changing.parent.name, 3)
    assert store.rows("SELECT count(*) FROM token_loss") == [(0,)]


def test_a_model_that_moved_and_was_changed_is_refused_too(
    store: Store, scorer: TokenScorer, changing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Path(shutil.move(changing, changing.with_name("elsewhere")))
    save_model_folder(elsewhere, seed=9)
    monkeypatch.setattr("core.models.resolving.model_folder", lambda *_: elsewhere)
    with pytest.raises(TokensUnavailable, match=r"The weights of the model .* changed"):
        scorer.token_losses(changing.parent.name, 3)


def test_token_losses_that_do_not_add_up_to_a_rows_score_are_said_and_not_cached(
    store: Store, scorer: TokenScorer, changing: Path
) -> None:
    sql = """
        UPDATE loss SET nll_sum = nll_sum + 3 WHERE loss_set_id =
        (SELECT loss_set_id FROM run_loss JOIN run USING (run_id) WHERE name = ? AND role = 'reference')
    """
    store.write(lambda connection: connection.execute(sql, [changing.parent.name]))
    losses = scorer.token_losses(changing.parent.name, 3)
    assert [doubt.split(" token")[0] for doubt in losses.doubts] == ["The reference's"]
    assert "has changed since. Score the dataset again." in losses.doubts[0]
    assert store.rows("SELECT count(*) FROM token_loss") == [(1,)]  # the base, which is as it was
    assert scorer.cached(changing.parent.name, 3) is None


def test_a_model_that_was_emptied_is_one_sentence_and_the_worker_goes_on(scorer: TokenScorer, changing: Path) -> None:
    (changing / "model.safetensors").write_bytes(b"")
    with pytest.raises(TokensUnavailable, match="changed"):
        scorer.token_losses(changing.parent.name, 2)
    process = scorer.process_id
    assert sum(scorer.token_losses("tiny", 2).scored) > 0
    assert scorer.process_id == process


def test_a_workspace_that_was_moved_finds_its_models_again(store: Store, scorer: TokenScorer, changing: Path) -> None:
    trained = store.workspace / "models" / "taught"
    shutil.copytree(changing, trained)
    (trained / PROVENANCE).write_text("{}", encoding="utf-8")
    row = scorer._row(changing.parent.name, 1)
    row.description["models"]["reference"] |= {"label": "taught", "path": "/gone"}
    assert row.request(store.workspace)["models"]["reference"]["path"] == str(trained)


def test_an_idle_worker_ends_by_itself_and_one_that_was_just_asked_is_replaced_without_a_word(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOBASS_TOKEN_WORKER_IDLE_SECONDS", "0.05")
    forget_tokens(store)
    scorer = TokenScorer(store)
    takes_a_request_and_goes = [sys.executable, "-c", "import sys; sys.stdin.readline()"]
    scorer._process._process = subprocess.Popen(takes_a_request_and_goes, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert sum(scorer.token_losses("tiny", 2).scored) > 0
    wait_for(lambda: scorer.process_id is None, "the idle worker's end")


def test_a_worker_that_gave_its_memory_back_is_replaced_by_the_next_request(store: Store, scorer: TokenScorer) -> None:
    forget_tokens(store)
    scorer.token_losses("tiny", 2)
    scorer.release()
    assert scorer.process_id is None
    forget_tokens(store)
    assert sum(scorer.token_losses("tiny", 2).scored) > 0


def ask_in_threads(scorer: TokenScorer, *row_numbers: int) -> tuple[list[threading.Thread], dict[int, str]]:
    """Asks for several rows at once; what became of each once its thread has ended."""
    ends: dict[int, str] = {}

    def ask(row_number: int) -> None:
        try:
            ends[row_number] = f"{sum(scorer.token_losses('tiny', row_number).scored)} tokens"
        except UserError as error:
            ends[row_number] = str(error)

    threads = [threading.Thread(target=ask, args=(row_number,)) for row_number in row_numbers]
    for thread in threads:
        thread.start()
    return threads, ends


def test_a_stopped_worker_is_replaced_and_everybody_who_waits_gets_an_answer(store: Store, scorer: TokenScorer) -> None:
    forget_tokens(store)
    scorer.token_losses("tiny", 2)
    stopped = scorer.process_id
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)
    threads, ends = ask_in_threads(scorer, 1, 3, 5)
    for thread in threads:
        thread.join()
    told = [end for end in ends.values() if "tokens" not in end.split()]
    assert len(ends) == 3
    assert len(told) == 1
    assert "ended before it answered: Another program had stopped it. Try again to start a new one." in told[0]
    assert scorer.process_id not in (None, stopped)


def test_a_worker_that_does_not_answer_in_time_is_killed(
    store: Store, scorer: TokenScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_tokens(store)
    scorer.token_losses("tiny", 2)
    hanging = [sys.executable, "-c", "import sys; sys.stdin.readline(); 10**8**8"]
    process = subprocess.Popen(hanging, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    scorer._process._kill("")
    scorer._process._process = process
    for name, seconds in {"_ANSWER_SECONDS": 0.2, "_LOADING_SECONDS": 0.0, "_LOOK_SECONDS": 0.05}.items():
        monkeypatch.setattr(token_process, name, seconds)
    with pytest.raises(TokensUnavailable, match=r"answered: It took longer than \d+ seconds\. Try again"):
        scorer.token_losses("tiny", 1)
    assert process.poll() == -signal.SIGKILL
    monkeypatch.undo()
    assert sum(scorer.token_losses("tiny", 1).scored) > 0


def test_who_waits_too_long_for_others_is_told(
    store: Store, scorer: TokenScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_tokens(store)
    monkeypatch.setattr(token_process, "_ANSWER_SECONDS", 0.01)
    with scorer._process._asking, pytest.raises(TokensUnavailable, match="busy with other rows"):
        scorer.token_losses("tiny", 2)


def test_a_worker_that_does_not_answer_makes_room_all_the_same(
    store: Store, scorer: TokenScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_process, "_LOOK_SECONDS", 60.0)
    monkeypatch.setattr(token_process, "_END_SECONDS", 0.1)
    forget_tokens(store)
    scorer.token_losses("tiny", 2)
    stopped = scorer.process_id
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)
    (asking,), ends = ask_in_threads(scorer, 1)
    wait_for(scorer._process._asking.locked, "the request")
    scorer.release()
    asking.join()
    assert "ended before it answered: A job that was started needs its memory. Try again" in ends[1]
    assert scorer.process_id is None


def test_a_worker_that_is_about_to_answer_may_do_so_before_it_makes_room(store: Store, scorer: TokenScorer) -> None:
    forget_tokens(store)
    scorer.token_losses("tiny", 2)
    asked = scorer.process_id
    with scorer._process._asking:
        releasing = threading.Thread(target=scorer.release)
        releasing.start()
        assert scorer.process_id == asked
    releasing.join()
    assert scorer.process_id is None


def test_the_worker_ends_when_its_input_does() -> None:
    worker = [sys.executable, "-m", "core.scoring.tokens.token_worker"]
    done = subprocess.run(worker, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, b"")


def test_what_libraries_print_does_not_reach_the_answers() -> None:
    program = (
        "import os; from core.scoring.tokens.token_worker import _take_stdout\n"
        "answers = _take_stdout(); print('hello', flush=True); os.write(1, b'there')\n"
        "answers.write(b'{}'); answers.flush()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"{}", b"hello\nthere")


def test_a_closed_scorer_starts_no_worker(store: Store) -> None:
    forget_tokens(store)
    scorer = TokenScorer(store)
    scorer.close()
    with pytest.raises(TokensUnavailable, match="being closed"):
        scorer.token_losses("tiny", 1)


def forget_tokens(store: Store) -> None:
    store.write(lambda connection: connection.execute("DELETE FROM token_loss").fetchall())
