"""Compiled loops where their code can be kept on disk, and where not."""

from lensfold.compiled import kernel


def test_a_kernel_works_where_nothing_can_be_cached():
    """Code without a file stands for a read-only installation: numba finds no place for its cache."""
    names = {}
    exec("def plus_one(x):\n    return x + 1", names)
    assert kernel(names["plus_one"])(2.0) == 3.0
