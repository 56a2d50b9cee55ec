"""``PYTHONPATH=src:tests python -m mutations --tries 2000``: damage and read files of every kind; counts at the end."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from mutations.kinds import KINDS
from mutations.tries import BAD, run, table


def main(
    tries: Annotated[int, typer.Option(min=1, help="Files of each kind.")] = 2000,
    kind: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(KINDS)}; default: all.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    first: Annotated[int, typer.Option(min=0, help="Number of the first try, to repeat one.")] = 0,
    keep: Annotated[Path | None, typer.Option(help="Folder for the files that were read wrongly.")] = None,
) -> None:
    """Damage files at random and read them; exit status 1 where one was not refused by name, nor read rightly."""
    done = []
    for name in kind or KINDS:
        for one in run(name, seed, tries, first):
            done.append(one)
            if one.what not in BAD:
                continue
            print(f"{name} {one.number}: {one.what}: {one.said.strip()[-1500:]}", file=sys.stderr, flush=True)
            if keep:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{name}-{one.number}").write_bytes(one.data)
        print(table([one for one in done if one.kind == name]), flush=True)
    print(table(done))
    sys.exit(any(one.what in BAD for one in done))


if __name__ == "__main__":
    typer.run(main)
