"""The loop of ranking, marking and training again, on a made-up survey with few lenses and a grader who knows them.

``python -m benchmarks.loop --trained-on lensfold --submission NAME`` goes a user's way: a folder of cutouts, `lensfold
rank`, its page in headless Chromium with its keys and its export, `lensfold label`, `lensfold run train`, and from the
start. Beside what it finds stands what the first ranking finds in as many objects, and chance.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from lensfold.cli.options import CORES
from lensfold.data import catalog as catalogs
from lensfold.data.labels.rounds import found_lenses, read_rounds
from lensfold.errors import InputError
from lensfold.paths import Pack, Workspace
from lensfold.simulate.pack import simulate_pack
from lensfold.simulate.profiles import get_population

NAME = "survey"
RULE = catalogs.DEFAULT_RULE
#: objects of the last row of the table
NEXT = 1000
_DRAWS = 1000
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


def make_survey(workspace: Workspace, profile: str, objects: int, share: float, seed: int, workers: int) -> pd.Series:
    """Write cutouts as a bare ``Public/`` without any truth beside them; return which are lenses (0 or 1) by ID.

    ``share``: of the objects that have a source behind them.
    """
    pack = workspace.pack(NAME)
    population = replace(get_population(profile), share_with_source=share)
    with tempfile.TemporaryDirectory(dir=workspace.root) as folder:
        simulate_pack(Path(folder) / NAME, population, 1, objects, seed, workers)
        made = Pack(NAME, Path(folder) / NAME)
        key = catalogs.labels(catalogs.read_catalog(made.key), RULE)
        shutil.rmtree(pack.folder, ignore_errors=True)
        pack.folder.mkdir(parents=True)
        shutil.move(made.folder / "test" / "Public", pack.folder / "Public")
    return key


def lensfold(workspace: Workspace, *arguments: str) -> None:
    """Run a command of lensfold in the project; InputError where it fails."""
    command = [sys.executable, "-m", "lensfold", *arguments, "--pack", NAME, "--root", str(workspace.root)]
    if subprocess.run(command, stdout=sys.stderr).returncode:
        raise InputError(f"lensfold {' '.join(arguments)} failed; its message stands above.")


@contextmanager
def chromium(downloads: Path) -> Iterator[Any]:
    """Chromium without a network, that saves what a page exports into ``downloads``; InputError where it is absent."""
    binary, driver_file = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver_file):
        raise InputError("chromium and chromedriver: not on the path. Install both: the page is marked in a browser.")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    os.environ["SE_OFFLINE"] = "true"
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--user-data-dir={downloads / 'profile'}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(driver_file))
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
    try:
        yield driver
    finally:
        driver.quit()


def mark_page(driver: Any, page: Path, key: pd.Series, count: int, downloads: Path) -> Path:
    """Mark the first ``count`` objects of a ranked page by its keys, as the key has them; return the exported file."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    driver.get(page.as_uri())
    cards = driver.find_elements(By.CSS_SELECTOR, "#list-ranked .card")[:count]
    ids = [int(card.get_attribute("data-id")) for card in cards]
    if not ids:
        raise InputError(f"{page}: nothing is left to be marked.")
    driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    for object_id in ids:  # a mark moves on to the next object
        driver.switch_to.active_element.send_keys("l" if key[object_id] else "x")
    driver.switch_to.active_element.send_keys(Keys.ESCAPE, "e")
    target, limit = downloads / f"marks-ranked-{NAME}.csv", time.monotonic() + 30
    while not target.is_file():
        if time.monotonic() > limit:
            raise InputError(f"{page}: nothing was exported within half a minute.")
        time.sleep(0.1)
    return target


def found_line(name: str, lenses: pd.Index, seen: Sequence[int], first: Sequence[int], chance: float) -> str:
    """Return a row of the table: lenses found by the loop, by the first ranking, their ratio, and chance.

    ``seen``, ``first``: IDs that were inspected in the one and the other. The interval is that of draws of ``lenses``.
    """
    here, there = lenses.isin(seen).astype(int), lenses.isin(first).astype(int)
    drawn = np.random.default_rng(0).integers(0, len(lenses), (_DRAWS, len(lenses)))
    ratios = here[drawn].sum(axis=1) / np.maximum(there[drawn].sum(axis=1), 1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    ratio = here.sum() / max(there.sum(), 1)
    return f"| {name} | {here.sum()} | {there.sum()} | {ratio:.2f} [{low:.2f}, {high:.2f}] | {chance:.1f} |"


def result_lines(workspace: Workspace, key: pd.Series) -> Iterator[str]:
    """Yield the table: what every round added up to, and the next objects after the last one."""
    pack = workspace.pack(NAME)
    rounds = read_rounds(workspace.rounds(pack))
    first = _ranked_ids(rounds[0].folder(workspace.rounds(pack)) / "ranked.csv")
    last = _ranked_ids(workspace.ranked(pack))
    lenses = key.index[key == 1]
    seen: list[int] = []
    yield f"| inspected of {len(key)} objects, {len(lenses)} lenses | loop | first ranking | ratio | chance |"
    yield "|---|---|---|---|---|"
    for one in rounds:
        seen += one.inspected["ID"].tolist()
        chance = len(seen) * len(lenses) / len(key)
        yield found_line(f"first {len(seen)}", lenses, seen, first[: len(seen)], chance)
    if found_lenses(rounds)[-1] != int(key[seen].sum()):
        raise InputError(f"{workspace.rounds(pack)}: the rounds count other lenses than the key has.")
    known = set(seen)
    left, rest = [i for i in last if i not in known][:NEXT], first[len(seen) :][:NEXT]
    chance = len(left) * (len(lenses) - int(key[seen].sum())) / (len(key) - len(seen))
    yield found_line(f"the next {len(left)} after round {len(rounds)}", lenses, left, rest, chance)


def _ranked_ids(path: Path) -> list[int]:
    return pd.read_csv(path).dropna(subset="rank")["ID"].tolist()


def main(
    trained_on: Annotated[str, typer.Option(help="Pack whose networks make the first ranking.")],
    submission: Annotated[str, typer.Option(help="The run or submission that makes it.")],
    experiment: Annotated[str, typer.Option(help="What is trained on the marks.")] = "few_labels",
    root: Annotated[Path, typer.Option(help="Project folder.")] = Path(),
    profile: Annotated[str, typer.Option(help="Sky of the survey.")] = "euclid",
    objects: Annotated[int, typer.Option(min=400, help="Objects of the survey.")] = 20_000,
    share: Annotated[float, typer.Option(help="Share of them with a source behind.")] = 0.012,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds.")] = 3,
    count: Annotated[int, typer.Option(min=10, max=200, help="Objects marked in a round.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the survey; another than the training pack's.")] = 201,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw objects.")] = CORES,
) -> None:
    """Print how many lenses rounds of marks find, beside the first ranking and chance, as a table for a page."""
    try:
        workspace = Workspace(root.resolve())
        key = make_survey(workspace, profile, objects, share, seed, workers)
        networks = ("--trained-on", trained_on, "--submission", submission)
        with tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as driver:
            for number in range(rounds):
                lensfold(workspace, "rank", *networks)
                page = workspace.ranked(workspace.pack(NAME)).with_suffix(".html")
                marks = mark_page(driver, page, key, count, Path(folder))
                lensfold(workspace, "label", "--marks", str(marks))
                marks.rename(marks.with_name(f"round{number}.csv"))
                lensfold(workspace, "run", "folds", "train", "--experiment", experiment)
                networks = ("--trained-on", NAME, "--submission", experiment)
        lensfold(workspace, "rank", *networks)
        lines = list(result_lines(workspace, key))
    except InputError as error:
        sys.exit(f"error: {error}")
    print("\n".join(lines))
    print(
        f"\nSimulated: profile {profile}, seed {seed}, 1 lens in {len(key) / max(int(key.sum()), 1):.0f} by {RULE}; "
        f"first ranked by {submission} of {trained_on}, then by {experiment} on the marks. Brackets: 95 % over lenses."
    )


if __name__ == "__main__":
    typer.run(main)
