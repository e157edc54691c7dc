"""Which template a base is read with, what is said of it, and that a template's date is one for all of a workspace."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.data.errors import ModelUnusable, PathRefused
from core.data.examples import DatasetRow, Example, Message
from core.encoding.encode import encode_example
from core.encoding.template_choice import check_allowed_template, choose_template
from core.exploring.unscored import unscored_sentences
from core.models.resolving import PROVENANCE, ModelSpec, resolve_model
from core.scoring.planning import ScoreRequest, plan_scoring
from core.store import Store
from core.workspace.inspecting import write_encoded
from tests import command_line
from tests.core.scored_models import score_examples
from tests.tiny_models import TURNS_TEMPLATE, encoding_spec, example, make_tokenizer, save_model_folder

DATED = "{{ strftime_now('%d.%m.%Y') }} " + TURNS_TEMPLATE
WITHOUT_THOUGHTS = TURNS_TEMPLATE.replace("message.content", "message.content.split('</think>')[-1]")
QUESTION = example(("user", "Name a river."), ("assistant", "The Thames."))


def spec(folder: Path, workspace: Path) -> ModelSpec:
    return resolve_model(str(folder), workspace)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model folders by what their tokenizer brings as a template."""
    home = tmp_path_factory.mktemp("models")
    templates = {"own": TURNS_TEMPLATE, "bare": None, "dated": DATED, "thoughtless": WITHOUT_THOUGHTS}
    return {name: save_model_folder(home / name, chat_template=text) for name, text in templates.items()}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "a test") as opened:
        opened.add_source("rivers", "r.jsonl", "jsonl", "a hash", {}, [DatasetRow(1, "chat", QUESTION, b"{}")])
        yield opened


# What a choice means


def test_auto_takes_the_bases_own_template_and_says_so(folders: dict[str, Path], tmp_path: Path) -> None:
    chosen = choose_template("auto", spec(folders["own"], tmp_path), spec(folders["dated"], tmp_path))
    assert (chosen.name, chosen.source) == ("chat", None)
    assert chosen.sentence == f"Chat template: from the base {str(folders['own'])!r}."


def test_auto_takes_the_references_template_for_a_base_that_has_none(folders: dict[str, Path], tmp_path: Path) -> None:
    chosen = choose_template("auto", spec(folders["bare"], tmp_path), spec(folders["own"], tmp_path))
    assert (chosen.name, chosen.source) == ("chat", TURNS_TEMPLATE)
    assert "since the base has none" in chosen.sentence


def test_auto_takes_what_a_reference_was_trained_with_here(folders: dict[str, Path], tmp_path: Path) -> None:
    trained = save_model_folder(tmp_path / "trained", chat_template=None)
    (trained / PROVENANCE).write_text(json.dumps({"encoding": {"template": "chatml"}}), encoding="utf-8")
    chosen = choose_template("auto", spec(folders["bare"], tmp_path), spec(trained, tmp_path))
    assert (chosen.name, chosen.source) == ("chatml", None)
    assert "which was trained with it" in chosen.sentence


def test_auto_is_alpaca_where_nobody_has_a_template(folders: dict[str, Path], tmp_path: Path) -> None:
    bare = spec(folders["bare"], tmp_path)
    chosen = choose_template("auto", bare, bare)
    assert chosen.name == "alpaca"
    assert "has no chat template of its own" in chosen.sentence


def test_a_template_can_be_a_file(folders: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{% for m in messages %}({{ m.content }}){% endfor %}", encoding="utf-8")
    chosen = choose_template(str(file), spec(folders["bare"], tmp_path), None)
    encoding = replace(encoding_spec("chat"), chat_template=chosen.source)
    tokenizer = make_tokenizer(chat_template=None)
    encoded = encode_example(QUESTION, tokenizer, encoding)
    assert tokenizer.decode(encoded.input_ids) == "<s>(Name a river.)(The Thames.)"
    assert tokenizer.decode(encoded.input_ids[encoded.scored]) == "The Thames.)"


@pytest.mark.parametrize(
    ("wanted", "error", "sentence"),
    [
        ("vicuna", ModelUnusable, "Unknown template 'vicuna'"),
        ("nowhere/it.jinja", PathRefused, "There is no file nowhere/it.jinja"),
        ("chat", ModelUnusable, "has no chat template"),
        ("reference", ModelUnusable, "The reference has no chat template"),
    ],
)
def test_a_template_that_is_not_there_is_one_sentence(
    folders: dict[str, Path], tmp_path: Path, wanted: str, error: type[Exception], sentence: str
) -> None:
    bare = spec(folders["bare"], tmp_path)
    with pytest.raises(error, match=sentence):
        choose_template(wanted, bare, bare)


def test_a_user_of_the_dashboard_names_only_template_files_of_allowed_folders(tmp_path: Path) -> None:
    check_allowed_template("chatml", tmp_path)
    check_allowed_template(str(tmp_path / "mine.jinja"), tmp_path)
    with pytest.raises(PathRefused, match="outside the allowed folders"):
        check_allowed_template("/etc/hosts.jinja", tmp_path)


def test_chatml_is_the_form_of_its_name() -> None:
    tokenizer = make_tokenizer(chat_template=None)
    encoded = encode_example(QUESTION, tokenizer, encoding_spec("chatml"))
    assert tokenizer.decode(encoded.input_ids) == (
        "<s><|im_start|>user\nName a river.<|im_end|>\n<|im_start|>assistant\nThe Thames.<|im_end|>\n"
    )
    assert tokenizer.decode(encoded.input_ids[encoded.scored]) == "The Thames.<|im_end|>"


def test_a_template_of_another_file_has_losses_of_its_own(folders: dict[str, Path], store: Store) -> None:
    request = ScoreRequest("rivers", str(folders["bare"]), str(folders["own"]), device="cpu")
    by_reference = plan_scoring(store, request)
    by_alpaca = plan_scoring(store, replace(request, template="alpaca"))
    assert by_reference.encoding.chat_template == TURNS_TEMPLATE
    assert by_reference.loss_sets["base"] != by_alpaca.loss_sets["base"]


# Dates


def test_a_template_that_asks_for_the_date_gets_the_workspaces_and_another_day_keeps_it(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    workspace, file = tmp_path / "workspace", tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"prompt": "Hi", "completion": "Hello"}) + "\n", encoding="utf-8")
    command_line.result(workspace, "import", file, "--dataset", "talk")
    texts = []
    for zone in ("Etc/GMT+12", "Pacific/Kiritimati"):  # 26 hours apart: never the same day
        output = tmp_path / "encoded.jsonl"
        command_line.result(
            workspace, "encode", "--dataset", "talk", "--model", folders["dated"], "--output", output, TZ=zone
        )
        texts.append(json.loads(output.read_text(encoding="utf-8"))["text"])
    assert texts[0] == texts[1]


def test_a_date_can_be_given_and_is_part_of_what_a_loss_hangs_on(folders: dict[str, Path], store: Store) -> None:
    request = ScoreRequest("rivers", str(folders["dated"]), str(folders["own"]), device="cpu")
    first = plan_scoring(store, request)
    other = plan_scoring(store, replace(request, template_date="2001-02-03"))
    assert first.encoding.day == store.template_day()
    assert other.encoding.day == "2001-02-03"
    assert "2001-02-03 is given" in other.template_sentence
    assert first.loss_sets["base"] != other.loss_sets["base"]
    tokenizer = make_tokenizer(chat_template=DATED)
    text = tokenizer.decode(encode_example(QUESTION, tokenizer, other.encoding).input_ids)
    assert text.startswith("<s>03.02.2001 <|turn|>user")
    with pytest.raises(ModelUnusable, match="'yesterday' is not a date"):
        plan_scoring(store, replace(request, template_date="yesterday"))


def test_a_template_without_a_date_has_none_in_its_fingerprint(folders: dict[str, Path], store: Store) -> None:
    plan = plan_scoring(store, ScoreRequest("rivers", str(folders["own"]), str(folders["own"]), device="cpu"))
    assert plan.encoding.day is None
    assert "day" not in plan.encoding.to_fields()


# Which replies are scored


def scored_text(row: Example, template: str, replies: str = "all") -> str:
    tokenizer = make_tokenizer()
    encoded = encode_example(row, tokenizer, replace(encoding_spec(template), replies=replies))
    return str(tokenizer.decode(encoded.input_ids[encoded.scored]))


@pytest.mark.parametrize(("template", "end"), [("chat", "<|end|>"), ("alpaca", "</s>"), ("plain", "</s>")])
def test_a_reply_that_is_context_is_read_and_not_scored(template: str, end: str) -> None:
    row = Example(
        (
            Message("user", "One?"),
            Message("assistant", "Uno.", is_context=True),
            Message("user", "Two?"),
            Message("assistant", "Dos."),
        )
    )
    assert scored_text(row, template) == f"Dos.{end}"
    open_row = Example(tuple(replace(message, is_context=False) for message in row.messages))
    assert scored_text(open_row, template) == f"Uno.{end}Dos.{end}"
    assert scored_text(open_row, template, "last") == f"Dos.{end}"


def test_which_replies_are_scored_is_part_of_what_a_loss_hangs_on(folders: dict[str, Path], store: Store) -> None:
    request = ScoreRequest("rivers", str(folders["own"]), str(folders["own"]), device="cpu")
    assert plan_scoring(store, request).loss_sets != plan_scoring(store, replace(request, replies="last")).loss_sets
    with pytest.raises(ModelUnusable, match="Unknown replies 'first'"):
        plan_scoring(store, replace(request, replies="first"))


# What is left out


def test_a_reply_of_which_the_template_leaves_out_a_part_is_flagged_and_counted(
    folders: dict[str, Path], store: Store
) -> None:
    thinking = example(("user", "Two and two?"), ("assistant", "<think>ten chars.</think>It is four"))
    score_examples(store, [QUESTION, thinking], folders["thoughtless"], folders["own"], run="tiny")
    table = store.run("tiny")["table"]
    rows = store.rows(f"SELECT row_number, cut_by_template, round(left_out, 3) FROM {table} ORDER BY row_number")
    assert rows == [(1, False, 0.0), (2, True, 0.5)]  # 10 of 20 characters
    assert unscored_sentences(store, table) == [
        "In 1 of 2 rows, the chat template drops part of the reply, 50% on average (flag cut_by_template)."
    ]


def test_losses_without_those_of_the_end_of_turn_are_counted(folders: dict[str, Path], store: Store) -> None:
    score_examples(store, [QUESTION], folders["own"], folders["own"], run="tiny")
    assert unscored_sentences(store, store.run("tiny")["table"]) == []
    store.write(lambda connection: connection.execute("UPDATE loss SET end_nll_sum = NULL, end_token_count = NULL"))
    store.save_run("tiny", "talk", {})
    assert unscored_sentences(store, store.run("tiny")["table"]) == [
        "In 1 of 1 rows, the scores about the end of turn are empty: an earlier version computed the losses. Score the "
        "data in a new workspace to have them."
    ]


def test_rows_without_a_score_are_counted_by_reason(folders: dict[str, Path], store: Store) -> None:
    broken = example(("user", "Hi"), ("assistant", "Hello"), tools="{broken")
    score_examples(store, [QUESTION, broken], folders["own"], folders["own"], run="tiny")
    assert unscored_sentences(store, store.run("tiny")["table"]) == [
        "1 of 2 rows have no score: The row's tools are not JSON."
    ]


# Runs of earlier versions


def test_a_run_that_an_earlier_version_encoded_is_scored_anew_under_its_name(
    folders: dict[str, Path], store: Store
) -> None:
    request = ScoreRequest("rivers", str(folders["own"]), str(folders["own"]), run="mine", device="cpu")
    plan = plan_scoring(store, request)
    earlier = json.loads(json.dumps(plan.description))
    earlier["encoding"]["version"] = 1
    sets = [store.ensure_loss_set(f"{role} weights", "earlier", role) for role in ("base", "reference")]
    store.save_run("mine", "rivers", {"base": sets[0], "reference": sets[1]}, earlier)
    score_examples(store, [QUESTION], folders["own"], folders["own"], run="mine", dataset="rivers")
    assert store.run("mine")["description"]["encoding"]["version"] == 2
    assert store.run("mine")["loss_sets"] == plan.loss_sets


# What `encode` writes


def test_encode_gives_a_row_that_the_weights_cannot_read_the_reason_that_scoring_gives_it(
    store: Store, tmp_path: Path
) -> None:
    base = save_model_folder(tmp_path / "base")
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["Thames"])  # the weights have no row for it
    tokenizer.save_pretrained(base)
    output = tmp_path / "encoded.jsonl"
    assert write_encoded(store, ScoreRequest("rivers", str(base), ""), None, output) == 1
    line = json.loads(output.read_text(encoding="utf-8"))
    assert line["reason"] == "holds a token that the model's weights have no row for"
    assert not any(line["scored"])
