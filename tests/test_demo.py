"""The demo's planted rows land where their making says they should: the whole line, on our own trained model."""

import json

import pandas as pd
import pytest

from core.store import Store
from core.workspace import demo
from core.workspace.shipped_demo import shipped_points
from tests import command_line

DOMAINS = ("chat", "code", "math")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Every demo row with its losses and what is planted in it."""
    folder = tmp_path_factory.mktemp("demo")
    report = command_line.result(folder / "workspace", "demo")
    assert report["examples"] == 1000
    assert report["kept"] > 0
    frame = pd.DataFrame(command_line.losses(folder / "workspace", demo.NAME, folder)).set_index("row_number")
    with Store.open(folder / "workspace", "a test") as store:
        table = store.run(demo.NAME)["table"]
        own = store.frame(f"SELECT row_number, own_learnability FROM {table}").set_index("row_number")
    frame = frame.join(own)
    records = [json.loads(line) for line in demo.DATASET.read_text(encoding="utf-8").splitlines()]
    frame["planted"] = [record["planted"] or "" for record in records]
    frame["planted_of"] = [record.get("planted_of") for record in records]
    return frame


def _medians(rows: pd.DataFrame, domain: str, planted: str, column: str) -> tuple[float, float]:
    """Median of a planted kind, and of the rows of its domain that nothing is planted in."""
    of_domain = rows[rows["domain"] == domain]
    return (
        float(of_domain.loc[of_domain["planted"] == planted, column].median()),
        float(of_domain.loc[of_domain["planted"] == "", column].median()),
    )


@pytest.mark.parametrize("domain", DOMAINS)
def test_shuffled_answers_are_less_learnable_than_their_domain(rows: pd.DataFrame, domain: str) -> None:
    shuffled, ordinary = _medians(rows, domain, "shuffled_answer", "learnability")
    assert shuffled < ordinary
    below = rows[(rows["domain"] == domain) & (rows["planted"] == "shuffled_answer")]["learnability"] < ordinary
    assert below.mean() >= 0.75


@pytest.mark.parametrize("domain", DOMAINS)
def test_shuffled_answers_stay_surprising_after_fine_tuning(rows: pd.DataFrame, domain: str) -> None:
    shuffled, ordinary = _medians(rows, domain, "shuffled_answer", "reference_loss")
    assert shuffled > ordinary


@pytest.mark.parametrize("domain", DOMAINS)
def test_what_shuffled_answers_gain_under_the_model_that_saw_them_is_memory(rows: pd.DataFrame, domain: str) -> None:
    shuffled = rows[(rows["domain"] == domain) & (rows["planted"] == "shuffled_answer")]
    assert abs(shuffled["learnability"].median()) < 0.1
    assert shuffled["own_learnability"].median() > shuffled["learnability"].median() + 0.05


@pytest.mark.parametrize("domain", DOMAINS)
def test_trivial_answers_are_known_to_the_base_already(rows: pd.DataFrame, domain: str) -> None:
    trivial, ordinary = _medians(rows, domain, "trivial_answer", "base_loss")
    assert trivial < ordinary


@pytest.mark.parametrize("domain", DOMAINS)
def test_trivial_answers_gain_less_than_their_domain(rows: pd.DataFrame, domain: str) -> None:
    trivial, ordinary = _medians(rows, domain, "trivial_answer", "loss_difference")
    assert trivial < ordinary


def test_exact_duplicates_share_one_loss(rows: pd.DataFrame) -> None:
    copies = rows[rows["planted"] == "exact_duplicate"]
    assert len(copies) >= 20
    for _, copy in copies.iterrows():
        original = rows.loc[int(copy["planted_of"]) + 1]
        assert copy["example_id"] == original["example_id"]
        assert copy["learnability"] == original["learnability"]


def test_near_duplicates_score_close_to_their_originals(rows: pd.DataFrame) -> None:
    near = rows[rows["planted"] == "near_duplicate"]
    originals = rows.loc[near["planted_of"].astype(int) + 1]
    apart = (near["learnability"].to_numpy() - originals["learnability"].to_numpy()).__abs__()
    spread = rows["learnability"].quantile(0.75) - rows["learnability"].quantile(0.25)
    assert pd.Series(apart).median() < spread / 2


def test_the_shipped_losses_are_those_that_a_run_gives(rows: pd.DataFrame) -> None:
    """Another processor rounds otherwise and training carries it on: base losses nearly agree, and the rankings do."""
    shipped = shipped_points().set_index("row_number")
    computed = rows.loc[shipped.index]
    assert shipped["base_loss"].to_numpy() == pytest.approx(computed["base_loss"].to_numpy(), rel=1e-3)
    assert shipped["reference_loss"].corr(computed["reference_loss"], method="spearman") > 0.95


def test_fine_tuning_helps_most_rows(rows: pd.DataFrame) -> None:
    assert (rows["learnability"] > 0).mean() > 0.95
