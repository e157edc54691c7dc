"""The first step of the Score page: which dataset, and which base model, checked as it is named."""

from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.jobs.job import readable_jobs
from core.models.base_check import BaseCheck, bases_on_machine, check_base
from core.models.quantizing import QUANTIZATIONS, can_quantize
from core.models.resolving import DEMO_BASE
from core.workspace.status import run_overview
from ui.plain_text import escaped
from ui.shell.session import Session, remember, remembered

_WHOLE = "whole"
_SECONDS = 20  # how long a check or a search is believed


def base_step(session: Session, datasets: list[str]) -> dict[str, str | None]:
    """The chosen dataset, base and quantization, as fields of a request, with one line on whether the base can be
    used. Where the package that quantizes is not installed there is no choice of a quantization, and no such field."""
    left, right, *further = st.columns([2, 2, 1] if can_quantize() else 2)
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
    return {"dataset": dataset, "base": name, **({"quantization": _quantization(further[0])} if further else {})}


def _quantization(place: DeltaGenerator) -> str | None:
    chosen = place.selectbox(
        "Weights",
        [_WHOLE, *QUANTIZATIONS],
        key="quantization",
        help="nf4 and int8 quantize the weights of base and reference as they are loaded, as QLoRA does, so that "
        "larger models fit. Their losses are kept apart from others. Train and score with the same choice.",
    )
    return None if chosen == _WHOLE else str(chosen)


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
