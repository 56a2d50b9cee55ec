"""The command line: parses, calls one function. TensorFlow is imported only by commands that run a model."""

import errno
import os
import sys
from typing import NoReturn

import typer

from lensfold.cli import jobs, packs, results
from lensfold.console import print_anywhere
from lensfold.errors import STOPPED, InputError

_MEMORY_ADVICE = "Free some, take fewer --workers or --jobs, or a machine with more; what is done is kept."

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
    """Run the command line; a user's mistake is one clear message and exit status 1, Ctrl-C another and 130."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        print_anywhere()
        app()
    except InputError as error:
        _end(f"error: {_legible(str(error))}", 1)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        _end(f"error: {_legible(str(error.filename)[:80])}…: too long for the name of a file.", 1)
    except MemoryError as error:
        _end(f"error: not enough memory ({error or 'out of it'}). {_MEMORY_ADVICE}", 1)
    except KeyboardInterrupt:
        _end(STOPPED, 130)
    except SystemExit as ended:
        if ended.code == 130:  # typer's answer to Ctrl-C, without a word
            _end(STOPPED, 130)
        raise


def _end(message: str, status: int) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(status)
