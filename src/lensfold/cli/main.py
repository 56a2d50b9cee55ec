"""The command line: parses, calls one function. TensorFlow is imported only by commands that run a model."""

import errno
import os
import sys

import typer

from lensfold.cli import jobs, packs, results
from lensfold.errors import InputError

app = typer.Typer(
    help="Find strong gravitational lenses in Euclid-like cutouts: folds, training, prediction, submission.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(jobs.app)
app.add_typer(packs.app)
app.add_typer(results.app)


def _legible(text: str) -> str:
    """Return a message whose control characters, from names that files give, are shown and not obeyed."""
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


def main() -> None:
    """Run the command line; a user's mistake is one clear message and exit status 1."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        app()
    except InputError as error:
        print(f"error: {_legible(str(error))}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        print(f"error: {_legible(str(error.filename)[:80])}…: too long for the name of a file.", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last finished step", file=sys.stderr)
        sys.exit(130)
