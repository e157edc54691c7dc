"""Who is let in: the claims of a login against the lists, half a configuration, and what each role finds on a page."""

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.selection import Selection, save_selection
from core.store import Store
from tests.core.scored_rows import ScoredRow, add_scored_run
from ui.shell.access import Role, judged

ROOT = Path(__file__).parents[3]
ACCESS = {"look": ["eye@example.org"], "run": ["Hand@Example.org", "kim@example.org"]}
SECRETS = {"auth": {"client_id": "dashboard"}, "access": ACCESS}
CHANGING = {
    "Cancel", "Delete", "Duplicate", "Find near-duplicates", "Discard", "Import", "Merge datasets", "Open the demo",
    "Remove", "Remove dataset", "Rename", "Rename dataset", "Restore", "Resume", "Run the demo", "Save selection",
    "Start scoring", "Train reference", "Train a second reference", "Export and download", "Push",
}  # fmt: skip
VIEWS = [
    ("home", {}),
    ("data", {}),
    ("score", {}),
    ("curate", {"view": "Near-duplicates"}),
    ("curate", {"view": "Saved selections"}),
    ("evidence", {"evidence": "Compare runs"}),
    ("export", {}),
]


def claims(email: str, **others: Any) -> dict[str, Any]:
    """What a provider says of somebody who logged in."""
    return {"is_logged_in": True, "email": email, "email_verified": True} | others


@pytest.mark.parametrize(
    ("said", "role"),
    [
        (claims("eye@example.org"), Role.LOOK),
        (claims("EYE@example.ORG "), Role.LOOK),
        (claims("hand@example.org"), Role.RUN),
        (claims("\u212aim@example.org"), Role.NOTHING),  # the Kelvin sign, whose lower case is k
        (claims("kim@example.org.evil.net"), Role.NOTHING),
        (claims("stranger@example.org"), Role.NOTHING),
        (claims("hand@example.org", email_verified=False), Role.NOTHING),
        (claims("hand@example.org", email_verified="true"), Role.NOTHING),
        ({"is_logged_in": True, "email": "hand@example.org"}, Role.NOTHING),
        (claims("hand@example.org", is_logged_in=False), Role.NOTHING),
        ({"is_logged_in": True, "email_verified": True}, Role.NOTHING),
        (claims(""), Role.NOTHING),
        ({}, Role.NOTHING),
    ],
)
def test_only_a_verified_address_on_a_list_is_let_in(said: dict[str, Any], role: Role) -> None:
    who = judged(said, ACCESS)
    assert who.role is role
    assert bool(who.refusal) is (role is Role.NOTHING)


def test_who_stands_on_both_lists_may_run() -> None:
    assert judged(claims("a@example.org"), {"look": ["a@example.org"], "run": ["a@example.org"]}).role is Role.RUN


def opened(
    page: str, secrets: dict[str, Any], user: dict[str, Any], parameters: dict[str, str] | None = None
) -> AppTest:
    """A page as that user finds it."""
    app = AppTest.from_file(str(ROOT / "pages" / f"{page}_page.py"), default_timeout=60)
    app.secrets, app.user = secrets, user
    for name, value in (parameters or {}).items():
        app.query_params[name] = value
    return app.run()


def changing(app: AppTest) -> list[str]:
    """The buttons on the page that can be pressed and change something."""
    leading = "recipe_find_near"  # to Explore, where the search is
    return [
        button.label
        for button in app.button
        if button.label in CHANGING and not button.disabled and button.key != leading
    ]


@pytest.mark.parametrize(
    "secrets",
    [
        {"auth": {"client_id": "dashboard"}},
        {"access": ACCESS},
        {"auth": {}, "access": ACCESS},
        {"auth": {"client_id": "dashboard"}, "access": {}},
        {"auth": {"client_id": "dashboard"}, "access": {"run": "hand@example.org"}},
        {"auth": {"client_id": "dashboard"}, "access": {"run": [1]}},
        {"auth": {"client_id": "dashboard"}, "access": {"runs": ["hand@example.org"]}},
        {"auth": {"client_id": "dashboard"}, "access": ["hand@example.org"]},
    ],
    ids=str,
)
def test_half_a_configuration_lets_nobody_in(page_workspace: Path, secrets: dict[str, Any]) -> None:
    app = opened("data", secrets, claims("hand@example.org"))
    assert not app.exception
    assert len(app.error) == 1
    assert not app.button
    assert not page_workspace.exists()


@pytest.fixture
def workspace(page_workspace: Path) -> Path:
    """Two runs and a saved selection, so that every page has its controls."""
    with Store.open(page_workspace, "a test") as store:
        add_scored_run(store, [ScoredRow("chat", 10.0, 9.0 - number / 4) for number in range(20)], run="first")
        (base,), (reference,) = store.rows("SELECT loss_set_id FROM run_loss ORDER BY role")
        store.save_run("second", "data", {"base": reference, "reference": base}, {})
        save_selection(store, "one", Selection("first"))
    return page_workspace


@pytest.mark.parametrize(("page", "parameters"), VIEWS)
def test_who_may_only_look_finds_every_page_and_no_control_that_changes_anything(
    workspace: Path, page: str, parameters: dict[str, str]
) -> None:
    app = opened(page, SECRETS, claims("eye@example.org"), parameters)
    assert not app.exception
    assert not app.error
    assert changing(app) == []
    assert not app.get("file_uploader")
    as_runner = opened(page, SECRETS, claims("hand@example.org"), parameters)
    if page not in ("home", "evidence"):  # where nobody changes anything
        assert changing(as_runner)


def test_a_control_that_is_pressed_all_the_same_changes_nothing(workspace: Path) -> None:
    """A browser may send what it likes; here the page was drawn while its reader could still run."""
    for key in ("selection_duplicate", "selection_delete"):
        app = opened("curate", SECRETS, claims("hand@example.org"), {"tab": "Saved selections"})
        app.user = claims("eye@example.org")
        app.button(key=key).click().run()
        assert not app.exception
        assert [name.value for name in app.error if "not change anything" in name.value], app.main
        assert app.selectbox(key="manage_selection").options == ["one"]
    app = opened("export", SECRETS, claims("hand@example.org"))
    app.user = claims("eye@example.org")
    app.button(key="write_export").click().run()
    assert not app.exception
    assert not list((workspace / "exports").iterdir())


@pytest.mark.parametrize("page", ["data", "score", "curate", "evidence", "export"])
def test_every_page_by_itself_lets_no_stranger_in(workspace: Path, page: str) -> None:
    """Streamlit can be made to run a page's file without app.py, so each page asks who looks."""
    app = opened(page, SECRETS, claims("stranger@example.org"))
    assert not app.exception
    assert not app.selectbox
    assert not app.dataframe
    assert [button.label for button in app.button] == ["Log out"]
    assert [text.value for text in app.text] == [
        "stranger@example.org has no access to this dashboard. Ask its owner to add you."
    ]
