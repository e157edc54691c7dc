"""The dashboard's page config and navigation. Start it with `make app`."""

import streamlit as st

from core.data.errors import UserError
from ui.plain_text import escaped
from ui.shell.entrance import require_login, show_visitor
from ui.shell.page_style import apply_page_style

st.set_page_config(page_title="LoBaSS Explorer", layout="wide")
apply_page_style()

data = st.Page("pages/data_page.py", title="Data", url_path="data")
# The root address redirects to Data: Streamlit's default page cannot be opened at its own path.
start = st.Page(lambda: st.switch_page(data), url_path="start", default=True, visibility="hidden")
evidence = st.Page("pages/evidence_page.py", title="Evidence", url_path="evidence")


def _compare() -> None:
    """The earlier address of the comparison of runs leads on to its present one."""
    given = {name: st.query_params.get_all(name) for name in st.query_params}
    st.switch_page(evidence, query_params={**given, "evidence": "Compare runs"})


page = st.navigation(
    [
        start,
        data,
        st.Page("pages/score_page.py", title="Score", url_path="score"),
        st.Page("pages/explore_page.py", title="Explore", url_path="explore"),
        st.Page("pages/select_page.py", title="Select", url_path="select"),
        evidence,
        st.Page("pages/export_page.py", title="Export", url_path="export"),
        st.Page(_compare, url_path="compare", visibility="hidden"),
    ],
    position="top",
)
show_visitor(require_login())
try:
    page.run()
except UserError as error:
    st.error(escaped(str(error)))
