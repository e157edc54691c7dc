"""The command that compares how two models order the options of multiple-choice rows."""

from typing import Annotated

import typer

from ..workspace.leakage import Leakage, option_order_leakage
from .options import AsJson, Device, Workspace, number
from .terminal import owned_store, print_result, report_user_errors, wait_for


def leakage(
    dataset: Annotated[str, typer.Option(help="Dataset with multiple-choice rows, such as a benchmark.")],
    base: Annotated[str, typer.Option(metavar="MODEL", help="Base model: Hub id or local folder.")],
    reference: Annotated[
        str, typer.Option(metavar="MODEL", help="Model fine-tuned from it: name of a reference, folder or Hub id.")
    ],
    rows: Annotated[int | None, number(min=1, help="Only the first multiple-choice rows [all].")] = None,
    device: Device = "auto",
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Compare how often base and reference find the published order of a question's options the likeliest."""
    with report_user_errors(), owned_store(workspace, "leakage") as store:
        found = option_order_leakage(store, dataset, base, reference, wait_for, rows, device)
        print_result(found.to_fields(), as_json, _sentences(found))


def _sentences(leakage: Leakage) -> str:
    found = leakage.found
    lines = [
        f"{name}: the original order is the likeliest of all in {each.preferred:,} of {each.rows:,} rows "
        f"({each.preferred / each.rows:.1%}, 95% interval {each.low:.1%} to {each.high:.1%})."
        for name, each in (("base", found.base), ("reference", found.reference))
    ]
    return "\n".join(
        [
            *lines,
            f"Expected of a model without a leak, if the options have no natural order: {found.chance:.1%}.",
            f"Difference, reference minus base: {found.difference:+.1%}, "
            f"interval {found.low:+.1%} to {found.high:+.1%}; only the reference in {found.only_reference:,} rows, "
            f"only the base in {found.only_base:,}. "
            "Expected if the reference saw no more of the rows than the base: 0.",
            *(f"Left out, {reason}: {count:,} rows." for reason, count in leakage.left_out.items()),
        ]
    )
