"""The first step of the Score page: which dataset, and which base model, checked as it is named."""

from pathlib import Path

import streamlit as st

from core.jobs.job import readable_jobs
from core.models.base_check import BaseCheck, bases_on_machine, check_base
from core.models.resolving import DEMO_BASE
from core.workspace.status import run_overview
from ui.plain_text import escaped
from ui.shell.session import Session, remember, remembered

_SECONDS = 20  # how long a check or a search is believed


def base_step(session: Session, datasets: list[str]) -> tuple[str, str]:
    """The chosen dataset and base, with one line on whether the base can be used."""
    left, right = st.columns(2)
    dataset = left.selectbox(
        "Dataset", datasets, _place(datasets, remembered("dataset")), help="A dataset imported on the Data page."
    )
    known = _known_bases(session)
    base = right.selectbox(
        "Base model",
        known,
        _place(known, remembered("base")),
        accept_new_options=True,
        help="The last one used first, then those in the allowed folders. Or type a Hugging Face id (owner/name) or "
        "a folder on this server.",
    )
    remember("dataset", dataset)
    remember("base", base)
    name = (base or "").strip()
    if name:
        _show_verdict(_checked(name, str(session.workspace)))
    return dataset, name


def _show_verdict(found: BaseCheck) -> None:
    icon, colour = ("check_circle", "green") if found.usable else ("error", "red")
    st.markdown(f":{colour}[:material/{icon}:] {escaped(found.sentence)}")


@st.cache_data(ttl=_SECONDS, max_entries=100, show_spinner="Checking the base model...")
def _checked(name: str, workspace: str) -> BaseCheck:
    return check_base(name, Path(workspace))


@st.cache_data(ttl=_SECONDS, max_entries=10, show_spinner=False)
def _on_machine(workspace: str) -> list[str]:
    return bases_on_machine(Path(workspace))


def _place(options: list[str], wanted: str | None) -> int:
    return options.index(wanted) if wanted in options else 0


def _known_bases(session: Session) -> list[str]:
    """The base last chosen, those of jobs and runs (newest first), those on this machine, and the demo's."""
    requests = [job.request for job in reversed(readable_jobs(session.workspace))]
    of_jobs = [request["base"]["label"] for request in requests if "base" in request]
    of_runs = [run["base"] for run in run_overview(session.store)]
    found = _on_machine(str(session.workspace))
    return list(dict.fromkeys(base for base in [remembered("base"), *of_jobs, *of_runs, *found, DEMO_BASE] if base))
