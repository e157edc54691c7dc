"""ADO's fit gives back the parameters that a curve was made with, and its weights follow from them by hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from core.cli.commands import app
from core.cli.mixture_command import learning_table
from core.data.errors import ModelUnusable, NotFound
from core.evidence.learning_left import learning_left, suggested_weights
from core.evidence.power_law import fit_power_law
from core.models.provenance import PROVENANCE
from core.training.recorded_models import STEPS

PLANTED = {"chat": (1.2, 30.0, 0.4), "code": (0.05, 3.0, 0.1), "math": (2.0, 500.0, 0.8)}
"""Floor, scale and exponent of each domain's curve."""
TOKENS = {"chat": 600, "code": 300, "math": 100}


def law(domain: str, tokens: float) -> float:
    floor, scale, exponent = PLANTED[domain]
    return floor + scale * tokens**-exponent


def write_steps(folder: Path, steps: int, passes: float = 1.0, batch_tokens: int = 4096, noise: float = 0.0) -> Path:
    """A model's folder as training leaves it, its curves planted; in later passes the losses are 0.001."""
    random = np.random.default_rng(steps)
    folder.mkdir(parents=True)
    lines = []
    for step in range(1, steps + 1):
        seen = step * sum(TOKENS.values())
        is_first = step <= steps / passes
        losses = {
            domain: law(domain, seen) * np.exp(noise * random.standard_normal()) if is_first else 0.001
            for domain in TOKENS
        }
        nats = {domain: losses[domain] * count for domain, count in TOKENS.items()}
        lines.append(json.dumps({"step": step, "nats": nats, "tokens": TOKENS}) + "\n")
    (folder / STEPS).write_text("".join(lines))
    provenance = {
        "steps": steps, "seen_examples": round(100 * passes), "trained_examples": 100, "batch_tokens": batch_tokens
    }  # fmt: skip
    (folder / PROVENANCE).write_text(json.dumps(provenance))
    return folder


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_the_fit_gives_planted_parameters_back(planted: tuple[float, float, float]) -> None:
    floor, scale, exponent = planted
    tokens = np.arange(1, 101) * 1000.0
    found = fit_power_law(tokens, floor + scale * tokens**-exponent)
    assert (found.floor, found.scale, found.exponent) == pytest.approx(planted, rel=2e-3)
    assert found.scatter < 1e-6
    slope = (found.loss(50_001.0) - found.loss(49_999.0)) / 2
    assert found.speed(50_000.0) == pytest.approx(-slope, rel=1e-4)


def test_outliers_do_not_move_the_fit() -> None:
    tokens = np.arange(1, 201) * 1000.0
    losses = 1.2 + 30 * tokens**-0.4
    losses[::10] *= 1.5
    found = fit_power_law(tokens, losses)
    assert (found.floor, found.exponent) == pytest.approx((1.2, 0.4), rel=0.01)


def test_noise_leaves_the_loss_at_the_end_right_and_widens_the_range_of_what_is_left(tmp_path: Path) -> None:
    (chat,) = [each for each in learning_left([write_steps(tmp_path / "m", 390, noise=0.02)]) if each.domain == "chat"]
    truth = law("chat", 390_000)
    assert chat.loss == pytest.approx(truth, rel=0.01)
    assert chat.left_range[0] < chat.learning_left < chat.left_range[1]
    assert chat.scatter == pytest.approx(0.02 * 0.6745, rel=0.25)  # the median distance of a normal one


def test_learning_left_speed_and_weights_are_those_of_the_planted_curves(tmp_path: Path) -> None:
    learned = learning_left([write_steps(tmp_path / "m", 90)])
    _, *lines, guess, _, options = learning_table(learned).splitlines()
    assert [line.split()[0] for line in lines] == ["code", "chat", "math"]
    assert options == " ".join(f"--weight {each.domain}={each.weight:.4g}" for each in learned)
    found = {each.domain: each for each in learned}
    assert found["chat"].fallen == pytest.approx(law("chat", 4000) - law("chat", 90_000), rel=0.01)
    assert guess.endswith("so what is left is a guess: code.")
    assert [each.domain for each in learned if each.is_guess] == ["code"]
    speeds = {domain: PLANTED[domain][2] * (law(domain, 90_000) - PLANTED[domain][0]) / 90_000 for domain in PLANTED}
    wanted = {domain: (TOKENS[domain] / 1000) ** 1.5 * speed for domain, speed in speeds.items()}
    for domain, each in found.items():
        assert each.steps == 87  # without the warm-up, a thirtieth
        assert each.share == TOKENS[domain] / 1000
        assert each.learning_left == pytest.approx(law(domain, 90_000) - PLANTED[domain][0], rel=0.01)
        assert each.speed == pytest.approx(1e6 * speeds[domain], rel=0.01)
        assert each.weight == pytest.approx(100 * wanted[domain] / sum(wanted.values()), rel=0.01)
    assert list(found) == ["code", "chat", "math"]  # most learning left first


def test_only_the_first_pass_counts_and_models_are_fitted_together(tmp_path: Path) -> None:
    one = learning_left([write_steps(tmp_path / "one", 90)])
    three = learning_left([write_steps(tmp_path / f"fold-{n}", 270, passes=3.0) for n in range(2)])
    for first, later in zip(one, three, strict=True):
        assert later.floor == pytest.approx(first.floor, rel=0.02)
        assert later.learning_left == pytest.approx(first.learning_left, rel=0.02)
        assert later.steps == 2 * (90 - 9)


@pytest.mark.parametrize(
    ("shares", "speeds", "weights"),
    [
        ({"a": 0.5, "b": 0.5}, {"a": 3.0, "b": 1.0}, {"a": 75.0, "b": 25.0}),
        ({"a": 0.8, "b": 0.2}, {"a": 1.0, "b": 8.0}, {"a": 50.0, "b": 50.0}),
        ({"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 0.0}, {"a": 99.0, "b": 1.0}),
        ({"a": 0.5, "b": 0.5}, {"a": 0.0, "b": 0.0}, {"a": 50.0, "b": 50.0}),
        ({"a": 1.0}, {"a": 0.0}, {"a": 100.0}),
    ],
)
def test_weights_are_share_to_one_and_a_half_times_speed_with_a_least_one(
    shares: Mapping[str, float], speeds: Mapping[str, float], weights: Mapping[str, float]
) -> None:
    assert suggested_weights(shares, speeds) == pytest.approx(weights)


def test_a_curve_too_short_to_fit_says_how_many_steps_are_needed(tmp_path: Path) -> None:
    with pytest.raises(
        ModelUnusable,
        match=r"The curve of 'chat' has 20 steps in the first pass after the warm-up, and a fit needs 30. "
        r"Train with --batch-tokens 1820 or less, or on more rows.",
    ):
        learning_left([write_steps(tmp_path / "m", 20)])
    (tmp_path / "m" / STEPS).write_text("")
    with pytest.raises(ModelUnusable, match="Every curve has 0 steps"):
        learning_left([tmp_path / "m"])


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"step": 5}',
        '{"step": 5, "nats": {}, "tokens": {"chat": 1}}',
        '{"step": "x", "nats": {"a": 1}, "tokens": {"a": 1}}',
        '{"step": 5, "nats": {"a": "x"}, "tokens": {"a": 1}}',
    ],
)
def test_damaged_or_missing_records_are_one_sentence(tmp_path: Path, text: str) -> None:
    folder = write_steps(tmp_path / "m", 40)
    (folder / STEPS).write_text(text + "\n")
    with pytest.raises(ModelUnusable, match=r"steps\.jsonl cannot be read .* Train the reference again\."):
        learning_left([folder])
    (folder / STEPS).unlink()
    with pytest.raises(NotFound, match=r"kept no losses by step .* Train a reference here\."):
        learning_left([folder])


def _mixture(workspace: Path, *options: str) -> Sequence[str]:
    done = CliRunner().invoke(app, ["mixture", *options, "--workspace", str(workspace)])
    return [str(done.exit_code), *done.output.splitlines()]


def test_the_command_prints_json_and_names_the_references_there_are(tmp_path: Path) -> None:
    write_steps(tmp_path / "models" / "taught", 90)
    code, text = _mixture(tmp_path, "--reference", "taught", "--json")
    domains = json.loads(text)["domains"]
    assert (code, [each["domain"] for each in domains]) == ("0", ["code", "chat", "math"])
    assert sum(each["weight"] for each in domains) == pytest.approx(100)
    assert _mixture(tmp_path, "--reference", "other") == ["1", "No reference is named 'other'. There are: taught."]
    assert _mixture(tmp_path)[0] == "2"
