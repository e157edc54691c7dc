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
curate = st.Page("pages/curate_page.py", title="Curate", url_path="curate")
# Addresses of earlier versions lead on, with what they say.
earlier = [
    st.Page(
        lambda: st.switch_page(curate, query_params=st.query_params.to_dict()),
        url_path=path,
        title="Curate",
        visibility="hidden",
    )
    for path in ("explore", "select")
]
page = st.navigation(
    [
        start,
        data,
        st.Page("pages/score_page.py", title="Score", url_path="score"),
        curate,
        st.Page("pages/compare_page.py", title="Compare", url_path="compare"),
        st.Page("pages/evidence_page.py", title="Evidence", url_path="evidence"),
        st.Page("pages/export_page.py", title="Export", url_path="export"),
        *earlier,
    ],
    position="top",
)
show_visitor(require_login())
try:
    page.run()
except UserError as error:
    st.error(escaped(str(error)))
