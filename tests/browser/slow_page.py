"""A page for `test_load.py`, served by Streamlit: an endless query, and downloads. Notes what happens in files beside
the workspace."""

import streamlit as st

from ui.shell.page_queries import for_downloader
from ui.shell.session import open_session

ENDLESS = "SELECT sum(sin(a.range * b.range + ?)) FROM range(1000000) a, range(1000000) b"

session = open_session()
notes = session.workspace.parent / "notes"
asked = st.query_params.get("ask", "")
if asked == "download":
    st.download_button("Ready", b"the same content" * 1_000, "ready.bin", key="ready")
    st.download_button("Made on a click", for_downloader(lambda: b"made later"), "later.bin", key="later")
    st.download_button("Of nobody", lambda: b"made later", "later.bin", key="nobody")
elif asked:
    (notes / f"{asked} asks").touch()
    try:
        session.store.rows(ENDLESS, [float(len(asked))])
    except BaseException as error:
        (notes / f"{asked} ended").write_text(type(error).__name__)
        raise
st.text(f"{asked} has what it asked for")
