"""``python -m supply pins`` resolves the pins, ``python -m supply licences`` lists licences of what is installed."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lensfold.errors import InputError
from supply.licences import write_page
from supply.pins import write_pins

ROOT = Path(__file__).parents[1]
app = typer.Typer(help="What the kit is installed from.", no_args_is_help=True, add_completion=False)


@app.command()
def pins(
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Take new versions of what is not pinned by hand.")
    ] = False,
) -> None:
    """Resolve the pins of pyproject.toml into the requirement files, with a hash of every file; needs uv."""
    write_pins(ROOT, upgrade)


@app.command()
def licences() -> None:
    """Write docs/licences.md from the packages that are installed here."""
    write_page(ROOT)


if __name__ == "__main__":
    try:
        app()
    except InputError as error:
        sys.exit(f"error: {error}")
