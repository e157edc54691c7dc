"""The options that say what runs a command's job."""

import typer
from typer.testing import CliRunner

from core.cli.commands import app as program
from core.cli.options import RayAddress, RunsOn
from core.data import settings

app = typer.Typer()


@app.command()
def show(executor: RunsOn = None, ray_address: RayAddress = None) -> None:
    """What a job made by this command would run on."""
    typer.echo(f"{settings.text('executor')} {settings.text('ray_address')}")


def test_they_hold_for_their_command_and_no_longer() -> None:
    chosen = CliRunner().invoke(app, ["--executor", "ray", "--ray-address", "head:6379"])
    assert chosen.output == "ray head:6379\n"
    assert CliRunner().invoke(app, []).output == "local auto\n"


def test_an_executor_that_is_not_there_is_a_wrong_option() -> None:
    refused = CliRunner().invoke(program, ["near-duplicates", "--dataset", "any", "--executor", "moon"])
    assert refused.exit_code == 2
    assert "'moon' is not one of: local, ray." in refused.output
