"""Files of logits: what is written is read, and what was changed on the way is refused."""

import numpy as np
import pytest

from lensfold.errors import InputError
from lensfold.runs.logits import read_logits, read_views, write_logits


def test_what_is_written_is_read(tmp_path):
    path, values = tmp_path / "oof.csv", np.random.default_rng(1).normal(size=5)
    write_logits(path, np.arange(5, 10), values, values[::-1])
    found = read_views(path)
    assert found.index.dtype == np.int64
    assert found["logit"].tolist() == values.tolist() and found["one_view"].tolist() == values[::-1].tolist()
    write_logits(path, np.empty(0, dtype=np.int64), np.empty(0))
    assert len(read_logits(path)) == 0 and read_logits(path).index.dtype == np.int64


@pytest.mark.parametrize("wrong", ["-0.0", "1e308", "7.0", "9223372036854775808", "9" * 30, "x", "True", ""])
def test_what_is_no_id_is_refused(tmp_path, wrong):
    path = tmp_path / "oof.csv"
    path.write_text(f"ID,logit\n5,0.5\n{wrong},0.25\n")
    with pytest.raises(InputError, match=r"oof\.csv: .*predict again"):
        read_views(path)


@pytest.mark.parametrize("wrong", ["nan", "inf", "1e999", "x", ""])
def test_what_is_no_logit_is_refused(tmp_path, wrong):
    path = tmp_path / "oof.csv"
    path.write_text(f"ID,logit\n5,0.5\n6,{wrong}\n")
    with pytest.raises(InputError, match=r"oof\.csv: .*[Pp]redict again"):
        read_views(path)
