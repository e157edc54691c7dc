"""`python -m core`: the command line."""

from .cli.commands import app

if __name__ == "__main__":
    app()
