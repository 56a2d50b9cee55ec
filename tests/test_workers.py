"""Work in processes gives what it gives in one, and where the system has no locks for them, in one it is."""

import errno
from multiprocessing import synchronize

import pytest

from lensfold import workers


def squared(number: int) -> int:
    return number**2


@pytest.mark.parametrize("count", [1, 2])
def test_every_chunk_is_done_once(count):
    assert sorted(workers.run_chunks(squared, [3, 1, 2], count)) == [(1, 1), (2, 4), (3, 9)]


def test_without_shared_memory_one_process_does_all(monkeypatch, capsys):
    def no_lock(*arguments, **options):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(synchronize.SemLock, "__init__", no_lock)
    assert list(workers.run_chunks(squared, [3, 1, 2], 2)) == [(3, 9), (1, 1), (2, 4)]
    assert "one process instead of 2: no shared memory" in capsys.readouterr().err
