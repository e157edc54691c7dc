"""Logging in, in a real browser with a real OpenID Connect exchange: who gets in, and what each finds there."""

import sys
from collections.abc import Callable, Iterator

import pytest
from joserfc.jwk import RSAKey
from playwright.sync_api import Page, expect

from core.selection import Selection, save_selection
from core.store import Store
from tests.browser.dashboard import Dashboard
from tests.browser.oidc_provider import CLIENT, SECRET, Provider
from tests.core.scored_rows import ScoredRow, add_scored_run

pytestmark = pytest.mark.browser
SECRETS = """
[auth]
redirect_uri = "{dashboard}/oauth2callback"
cookie_secret = "a secret that signs the cookie of this test"
client_id = "{client}"
client_secret = "{secret}"
server_metadata_url = "{provider}/.well-known/openid-configuration"

[access]
look = ["Eye@example.org"]
run = ["hand@example.org"]
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """A provider that this test alone uses."""
    served = Provider()
    yield served
    served.shutdown()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Dashboard]:
    """A dashboard with a login, on every address of the machine, as it may be with one."""
    folder = tmp_path_factory.mktemp("login")
    served = Dashboard(folder / "workspace")
    with Store.open(served.workspace, "a test") as store:
        add_scored_run(store, [ScoredRow("chat", 10.0, 9.0 - number / 4) for number in range(20)])
        save_selection(store, "kept", Selection("first"))
    secrets = folder / "secrets.toml"
    filled = {"dashboard": served.address, "client": CLIENT, "secret": SECRET, "provider": provider.address}
    secrets.write_text(SECRETS.format(**filled), encoding="utf-8")
    served.command = (
        sys.executable, "-m", "ui.serve", "--server.address", "0.0.0.0", "--secrets.files", str(secrets),
    )  # fmt: skip
    served.start()
    yield served
    served.stop()


@pytest.fixture
def log_in(guarded: Dashboard, provider: Provider, open_page: Callable[[str], Page]) -> Callable[..., Page]:
    """Open the dashboard, and log in as somebody."""

    def as_somebody(email: str, **claims: object) -> Page:
        provider.log_in(email, **claims)
        page = open_page(guarded.address)
        way_in = page.get_by_role("button", name="Log in")
        with page.expect_navigation():  # to the provider and back, all of it redirects
            way_in.click()
        return page

    return as_somebody


def shown(page: Page) -> str:
    """Everything that the page's own part says."""
    return page.get_by_test_id("stMain").inner_text()


def test_who_has_not_logged_in_sees_nothing_but_the_way_in(
    guarded: Dashboard, open_page: Callable[[str], Page]
) -> None:
    for path in ("", "/explore?run=first", "/export"):
        page = open_page(guarded.address + path)
        expect(page.get_by_role("button", name="Log in")).to_be_visible()
        assert shown(page).split("\n") == ["Log in to see this dashboard.", "", "Log in"]


def test_who_may_run_finds_the_controls_and_can_log_out(
    guarded: Dashboard, provider: Provider, log_in: Callable[..., Page]
) -> None:
    page = log_in("Hand@Example.org")
    expect(page.get_by_text("Hand@Example.org can view and run")).to_be_visible()
    page.goto(f"{guarded.address}/export")
    write = page.get_by_role("button", name="Export and download")
    expect(write).to_be_enabled()
    write.click()
    expect(page.get_by_text("bytes written")).to_be_visible()
    assert (guarded.workspace / "exports" / "kept.jsonl").exists()
    before = provider.logged_out
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    assert provider.logged_out == before + 1
    page.goto(f"{guarded.address}/export")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_who_may_look_opens_every_page_and_can_change_nothing(guarded: Dashboard, log_in: Callable[..., Page]) -> None:
    page = log_in("eye@example.org")
    expect(page.get_by_text("eye@example.org can view", exact=True)).to_be_visible()
    for name in ("Score", "Curate", "Evidence", "Export", "Data"):
        page.goto(f"{guarded.address}/{name.lower()}")
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        assert page.get_by_test_id("stException").count() == 0
        if name == "Export":
            expect(page.get_by_role("button", name="Export and download")).to_be_disabled()
        if name == "Curate":
            expect(page.get_by_role("button", name="Save selection")).to_be_disabled()
    expect(page.get_by_text("need the role 'run'")).to_be_visible()
    assert page.get_by_text("Import files").count() == 0
    assert page.get_by_role("button", name="Remove").count() == 0


@pytest.mark.parametrize(
    ("email", "claims", "sentence"),
    [
        ("stranger@example.org", {}, "has no access to this dashboard"),
        ("hand@example.org", {"email_verified": False}, "has not verified the e-mail hand@example.org"),
        ("hand@example.org.evil.example", {}, "has no access to this dashboard"),
    ],
)
def test_who_is_not_let_in_reads_why(
    log_in: Callable[..., Page], email: str, claims: dict[str, object], sentence: str
) -> None:
    page = log_in(email, **claims)
    expect(page.get_by_text(sentence)).to_be_visible()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    assert len(shown(page).split("\n")) == 3


@pytest.mark.parametrize(
    "forgery",
    [
        pytest.param({"key": RSAKey.generate_key(2048, {"kid": "one"})}, id="signed by another key"),
        pytest.param({"aud": "another application"}, id="meant for another application"),
        pytest.param({"iss": "https://evil.example"}, id="of another provider"),
        pytest.param({"exp": 1}, id="long expired"),
        pytest.param({"nonce": "of another login"}, id="of another login"),
    ],
)
def test_a_forged_identity_is_not_let_in(
    provider: Provider, log_in: Callable[..., Page], forgery: dict[str, object]
) -> None:
    claims = dict(forgery)
    provider.signing_key = claims.pop("key", provider.published_key)
    try:
        page = log_in("hand@example.org", **claims)
        expect(page.get_by_role("button", name="Log in")).to_be_visible()
        assert "can view" not in shown(page)
    finally:
        provider.signing_key = provider.published_key


def test_a_cookie_of_ones_own_making_is_not_let_in(guarded: Dashboard, open_page: Callable[[str], Page]) -> None:
    page = open_page(guarded.address)
    value = '{"is_logged_in": true, "email": "hand@example.org", "email_verified": true}'
    page.context.add_cookies([{"name": "_streamlit_user", "value": value, "url": guarded.address}])
    page.goto(guarded.address)
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
