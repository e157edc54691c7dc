"""The command that makes preference pairs of demonstrations: the base's own responses are the rejected answers."""

from typing import Annotated

import typer

from ..data.training_methods import LARGEST_SEED
from ..models.devices import DTYPES
from ..scoring.generation.response_jobs import GenerateRequest, Sampling
from ..workspace.generating import generate_pairs
from .options import AsJson, Device, MaxLength, Template, TemplateDate, Workspace, number
from .terminal import owned_store, print_result, report_user_errors, say, wait_for


def generate(
    dataset: Annotated[str, typer.Option(help="Dataset whose prompts are answered; its own replies are the chosen.")],
    base: Annotated[str, typer.Option(metavar="MODEL", help="Base model: Hub id or local folder.")],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="Name of the new dataset of preference pairs.")],
    rows: Annotated[int | None, number(min=1, help="Answer only so many rows, a fixed random sample [all].")] = None,
    max_new_tokens: Annotated[int, number(min=1, help="Longest response; longer ones are cut [tokens].")] = 256,
    temperature: Annotated[float, number(min=0, help="Temperature; 0 takes the likeliest token each time.")] = 1.0,
    top_p: Annotated[float, number(min=0, max=1, help="Draw from the likeliest tokens with this probability.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the responses and of --rows.")] = 0,
    batch_tokens: Annotated[
        int | None,
        number(min=1, help="Batch size, prompts and new tokens [LOBASS_CPU_BATCH_TOKENS, LOBASS_CUDA_BATCH_TOKENS]."),
    ] = None,
    template: Template = "auto",
    template_date: TemplateDate = None,
    max_length: MaxLength = None,
    device: Device = "auto",
    dtype: Annotated[str, typer.Option(help=f"Precision: {', '.join(DTYPES)}.")] = "auto",
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Have the base answer a dataset's prompts; pair the dataset's replies (chosen) with its responses (rejected)."""
    sampling = Sampling(max_new_tokens, temperature, top_p, seed)
    with report_user_errors(), owned_store(workspace, "generate") as store:
        request = GenerateRequest(
            dataset, base, name, rows, sampling, batch_tokens, template, max_length, device, dtype, template_date
        )
        report = generate_pairs(store, request, wait_for, say)
        for notice in report["notices"]:
            say(notice)
        sentence = (
            f"Dataset {report['dataset']!r}: {report['pairs']:,} preference pairs from {report['prompts']:,} prompts, "
            f"{report['generated']:,} responses generated now ({sampling.sentence()}). Chosen: replies of {dataset!r}; "
            f"rejected: responses of {report['base']!r}."
        )
        print_result(report, as_json, sentence)
