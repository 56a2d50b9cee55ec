"""Some damaged files of each kind, always the same ones; thousands more by ``python -m mutations`` (docs/supply.md)."""

from pathlib import Path

import numpy as np
import pytest
from mutations.damage import damaged
from mutations.kinds import KINDS, Problem
from mutations.tries import BAD, GOOD, bytes_of, judged, run

from lensfold.errors import InputError

TRIES = 40
#: of a kind that takes half a second each
FEW = 5


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_rightly_or_refused_by_name(kind, tmp_path):
    path, tries = KINDS[kind].write(tmp_path), FEW if kind == "keras" else TRIES
    specimen, known = path.read_bytes(), KINDS[kind].read(path)
    found = {number: judged(kind, path, bytes_of(kind, 0, number, specimen), known) for number in range(tries)}
    assert {number: what for number, what in found.items() if what[0] in BAD} == {}
    assert {"refused"} <= {what for what, _ in found.values()} <= set(GOOD)


def test_tries_in_a_process_of_their_own_are_the_same_tries(tmp_path):
    path = KINDS["labels"].write(tmp_path)
    specimen, known = path.read_bytes(), KINDS["labels"].read(path)
    here = [judged("labels", path, bytes_of("labels", 0, number, specimen), known)[0] for number in range(3, 7)]
    assert [one.what for one in run("labels", 0, 4, first=3)] == here


class _Reader:
    """In the place of a kind: what its reader does, and what the second opinion says."""

    def __init__(self, read, agrees=lambda data, found: True):
        self.read, self.agrees, self.head = read, agrees, 10


def _raises(error):
    def read(path):
        raise error

    return read


@pytest.mark.parametrize(
    ("reader", "what"),
    [
        (_Reader(_raises(InputError("x.csv, line 2: wrong"))), "refused"),
        (_Reader(_raises(Problem("x.csv: wrong"))), "refused"),
        (_Reader(_raises(InputError("line 2: wrong"))), "unnamed"),
        (_Reader(_raises(ValueError("x.csv"))), "traceback"),
        (_Reader(_raises(RuntimeWarning("x.csv"))), "warning"),
        (_Reader(lambda path: 1), "same"),
        (_Reader(lambda path: 2), "other"),
        (_Reader(lambda path: 2, lambda data, found: False), "silent"),
        (_Reader(lambda path: 2, lambda data, found: 1 / 0), "silent"),
    ],
)
def test_every_outcome_is_told_apart(monkeypatch, tmp_path, reader, what):
    monkeypatch.setitem(KINDS, "x", reader)
    assert judged("x", tmp_path / "x.csv", b"1", 1)[0] == what


def test_damage_is_the_same_for_the_same_seed_and_nearly_always_damage():
    data = Path(__file__).read_bytes()
    first, again, other = ([bytes_of("toml", seed, n, data) for n in range(50)] for seed in (1, 1, 2))
    assert first == again != other
    assert sum(one == data for one in first) < 10
    assert all(isinstance(damaged(b"", np.random.default_rng(n), 10), bytes) for n in range(50))
