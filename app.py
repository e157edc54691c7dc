"""The dashboard's page config and navigation. Start it with `make app`."""

import streamlit as st

from core.data.errors import UserError
from ui.plain_text import escaped
from ui.shell.entrance import require_login, show_visitor
from ui.shell.navigation import navigation
from ui.shell.nested_fragments import drop_nested_with_outer
from ui.shell.page_style import apply_page_style

drop_nested_with_outer()
st.set_page_config(page_title="LoBaSS Explorer", layout="wide")
apply_page_style()
page = navigation()
show_visitor(require_login())
try:
    page.run()
except UserError as error:
    st.error(escaped(str(error)))
