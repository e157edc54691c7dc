"""The dataset card of a pushed export: what a card already says, and a part of our own that the next push replaces."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from ..data.errors import ExportFailed
from ..data.version import __version__

_FRONT_MATTER = re.compile(r"\A(\ufeff?---[ \t]*\r?\n)(.*?)^---[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)
_OWN_FIELDS = re.compile(r"^# lobass:begin[^\n]*\n(.*?)^# lobass:end[^\n]*\n", re.DOTALL | re.MULTILINE)
# From the last beginning before an end: text between a beginning without an end and the next one is not ours.
_OWN_TEXT = re.compile(r"<!-- lobass:begin -->(?:(?!<!-- lobass:begin -->).)*?<!-- lobass:end -->", re.DOTALL)
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,59}")
_MARKDOWN = "\\`*_[]<>|~$&#"
_LONGEST_RECIPE = 6_000
_SIZES = (
    (10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"), (10**9, "100M<n<1B"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What our part of a card says. `manifest`: the export's, as JSON fields; `data_file`: its data in the repository;
    `evidence`: sentences; `licence`: its identifier on the Hub, "" if it is not known."""

    manifest: Mapping[str, Any]
    data_file: str
    evidence: Sequence[str] = ()
    licence: str = ""


@dataclass(frozen=True, slots=True)
class DatasetCard:
    """A card's text, and sentences about what of the card was kept although the export says something else."""

    text: str
    notices: tuple[str, ...] = field(default=())


def check_licence(licence: str) -> None:
    """Raise `ExportFailed` for a text that cannot be the identifier of a licence."""
    if licence and not _LICENCE.fullmatch(licence):
        raise ExportFailed(
            f"{licence[:60]!r} is not a licence identifier. Give one as the Hub writes it, such as apache-2.0 or other."
        )


def dataset_card(existing: str | None, facts: CardFacts) -> DatasetCard:
    """The card for an export. All fields and text of an `existing` one stay, byte for byte, except our own part.

    Raises `ExportFailed` for a card whose fields cannot be read.
    """
    check_licence(facts.licence)
    front, body = _split(existing or "")
    earlier = _OWN_FIELDS.search(front)
    theirs = _OWN_FIELDS.sub("", front)
    kept, own = _fields(theirs), _fields(earlier[1] if earlier else "")
    fields = _own_fields(facts, str(own.get("license") or ""))
    added = {name: value for name, value in fields.items() if name not in kept}
    block = f"# lobass:begin (replaced by the next push)\n{_yaml(added)}# lobass:end\n" if added else ""
    theirs += "" if not theirs or theirs.endswith("\n") else "\n"
    if _fields(theirs + block) != kept | added:
        raise ExportFailed(_UNREADABLE)
    return DatasetCard(f"---\n{theirs}{block}---\n{_body(body, facts)}", tuple(_notices(kept, fields, facts)))


_UNREADABLE = (
    "The fields (YAML) at the top of the dataset's card cannot be read, so they cannot be kept. Mend the card on the "
    "Hub, or push to another dataset."
)


def _split(text: str) -> tuple[str, str]:
    """The fields at the top of a card, as YAML, and the text after them."""
    found = _FRONT_MATTER.match(text)
    return (found[2], text[found.end() :]) if found else ("", text)


def _fields(text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ExportFailed(_UNREADABLE) from error
    if not isinstance(found, dict | None):
        raise ExportFailed(_UNREADABLE)
    return found or {}


def _yaml(fields: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(fields), sort_keys=False, allow_unicode=True))


def _own_fields(facts: CardFacts, earlier_licence: str) -> dict[str, Any]:
    licence = facts.licence or earlier_licence
    rows = int(facts.manifest["output"]["rows"])
    origins = [source["options"].get("origin") or {} for source in facts.manifest["dataset"]["sources"]]
    hub = sorted({str(origin["hub"]) for origin in origins if origin.get("hub")})
    return {
        **({"license": licence} if licence else {}),
        "task_categories": ["text-generation"],
        "size_categories": [next((name for most, name in _SIZES if rows < most), "n>1T")],
        **({"source_datasets": hub} if hub else {}),
        "tags": ["lobass", "sft"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": facts.data_file}]}],
    }


def _notices(kept: Mapping[str, Any], fields: Mapping[str, Any], facts: CardFacts) -> list[str]:
    notices = []
    if facts.licence and kept.get("license", facts.licence) != facts.licence:
        notices.append("The card of the dataset names another licence, which was kept. Change it on the Hub.")
    if "configs" in kept and facts.data_file not in json.dumps(kept["configs"], default=str):
        notices.append(
            f"The card of the dataset has its own configs, which do not name {facts.data_file}; they were kept, so "
            "loaders may not read it."
        )
    return notices


def _body(body: str, facts: CardFacts) -> str:
    section = f"<!-- lobass:begin -->\n{_section(facts)}\n<!-- lobass:end -->"
    if not body.strip():
        return f"\n# {_plain(str(facts.manifest.get('selection') or 'Selected rows'))}\n\n{section}\n"
    if _OWN_TEXT.search(body):
        return _OWN_TEXT.sub(lambda _: section, body, count=1)
    return f"{body}{'' if body.endswith(chr(10)) else chr(10)}\n{section}\n"


def _section(facts: CardFacts) -> str:
    manifest = facts.manifest
    result, output, run = manifest["result"], manifest["output"], manifest["run"]
    all_rows, all_tokens = (sum(domain[name] for domain in result["domains"]) for name in ("rows", "tokens"))
    parts = [
        "## How these rows were selected",
        f"{result['kept_rows']:,} of the {all_rows:,} rows of the dataset {_plain(manifest['dataset']['name'])} "
        f"({result['kept_tokens']:,} of {all_tokens:,} scored tokens) were selected with LoBaSS {__version__} from the "
        f"run {_plain(run['name'])}. {_plain(run['reference_kind']['sentence'])}.",
    ]
    if output["rows"] != result["kept_rows"]:
        parts.append(
            f"{output['rows']:,} of the selected rows are in the data; the others cannot be read by the trainer "
            f"{_plain(output.get('bundle', ''))}."
        )
    parts += ["### Rows by domain", _domains(result["domains"])]
    if facts.evidence:
        parts += ["### Evidence", "\n".join(f"- {_plain(sentence)}" for sentence in facts.evidence)]
    parts += ["### Recipe", _recipe(manifest["recipe"]), "### Sources and licence", _sources(manifest)]
    return "\n\n".join(parts)


def _domains(domains: Sequence[Mapping[str, Any]]) -> str:
    head = "| domain | rows | rows selected | scored tokens | scored tokens selected |\n|---|--:|--:|--:|--:|"
    lines = (
        f"| {_plain(domain['domain'])} | {domain['rows']:,} | {domain['kept_rows']:,} | {domain['tokens']:,} | "
        f"{domain['kept_tokens']:,} |"
        for domain in domains
    )
    return "\n".join([head, *lines])


def _recipe(recipe: Mapping[str, Any]) -> str:
    # As an escape, so that no text of a recipe ends our part.
    text = json.dumps(recipe, indent=2, ensure_ascii=False).replace("<", "\\u003c")
    whole = "manifest.json has everything that reproduces the selection: `lobass select --from-manifest manifest.json`"
    return whole if len(text) > _LONGEST_RECIPE else f"````json\n{text}\n````\n\n{whole}"


def _sources(manifest: Mapping[str, Any]) -> str:
    lines = []
    for source in manifest["dataset"]["sources"]:
        origin = source["options"].get("origin") or {}
        place = f", from {_plain(str(origin['hub']))} on the Hub" if origin.get("hub") else ""
        if origin.get("responses_to"):
            place = f", generated with {_plain(str(origin['base']))} ({_plain(str(origin['sampling']))})"
        lines.append(f"- {_plain(source['name'])}{place} ({source['rows']:,} rows)")
    return "The records keep the licence of their sources:\n\n" + "\n".join(lines)


def _plain(text: str) -> str:
    """Text in one line that Markdown shows as it is: names come from data."""
    line = " ".join(str(text).split())
    return "".join(f"\\{character}" if character in _MARKDOWN else character for character in line)
