"""The controls of the encoding: chat template, which replies, and the maximum length."""

from typing import Any

import streamlit as st

from core.data.settings import integer
from core.encoding.template_choice import AUTO, CHOICES
from core.encoding.templates import REPLIES

_HELP = "auto chooses a template; the estimate shows which one. To use a chat template from a file, type its path."


def encoding_form(reference: str, trained_with: dict[str, Any]) -> dict[str, Any]:
    """The fields template, replies and max_length. `trained_with`: the encoding of the reference of that name
    (`EncodingSpec` fields), whose settings are the defaults; empty if there is none yet."""
    templates, default = list(CHOICES), _default_template(trained_with)
    with st.expander("Chat template and length"):
        if trained_with:
            st.caption("As the reference was trained. Other settings make its losses less comparable with the base's.")
        if trained_with.get("chat_template"):
            st.caption("It was trained with a chat template that is not the base's own. Choose the same one here.")
        left, right = st.columns(2)
        template = left.selectbox(
            "Template",
            templates,
            templates.index(default),
            format_func=lambda name: f"{name}: {CHOICES[name]}" if name in CHOICES else name,
            accept_new_options=True,
            key=f"template_{reference}",
            help=_HELP,
        )
        replies = left.selectbox(
            "Scored replies",
            list(REPLIES),
            list(REPLIES).index(_default_replies(trained_with)),
            format_func=lambda name: f"{name}: {REPLIES[name]}",
            key=f"replies_{reference}",
            help="Which assistant replies are scored. Replies marked in the data as not to be trained on are never "
            "scored.",
        )
        max_length = right.number_input(
            "Maximum length (tokens)",
            min_value=2,
            value=_default_length(trained_with),
            step=256,
            key=f"max_length_{reference}",
            help="Longer rows are truncated to this length and flagged. Limited by the model's context window.",
        )
    return {"template": template or AUTO, "replies": replies, "max_length": int(max_length)}


def _default_template(trained_with: dict[str, Any]) -> str:
    """Auto where the template was given as a text: its name alone does not say which one it was."""
    name = trained_with.get("template")
    return name if name in CHOICES and not trained_with.get("chat_template") else AUTO


def _default_replies(trained_with: dict[str, Any]) -> str:
    replies = trained_with.get("replies")
    return replies if replies in REPLIES else next(iter(REPLIES))


def _default_length(trained_with: dict[str, Any]) -> int:
    length = trained_with.get("max_length")
    return length if isinstance(length, int) and length >= 2 else integer("max_length")
