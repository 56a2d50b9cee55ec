"""Prediction: order, averaging, and the files of logits."""

import operator
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from lensfold.config import PredictSettings
from lensfold.errors import InputError
from lensfold.inputs.batches import ahead, slices, whole_slices
from lensfold.models.saved import load_model
from lensfold.prediction.forward import inference_of
from lensfold.prediction.logits import d4_views, logits, logits_in_parts, views_of
from lensfold.runs.logits import read_logits, read_views, write_logits


def corner_model(side: int = 4) -> keras.Model:
    """A network whose logit is the first pixel."""
    image = keras.Input((side, side, 1))
    corner = keras.layers.Cropping2D(((0, side - 1), (0, side - 1)))(image)
    return keras.Model(image, keras.layers.Flatten()(corner))


class NumberPreparation:
    """Stands for a cache: an object's image has its ID everywhere but in one corner, which has minus that."""

    def plain(self, ids):
        images = np.zeros((len(ids), 4, 4, 1), dtype=np.float32) + ids[:, None, None, None].astype(np.float32)
        images[:, 0, 0] *= -1
        return images


def test_logits_follow_the_order_of_the_ids():
    ids = np.array([5, 3, 9, 1, 7])
    np.testing.assert_array_equal(logits(corner_model(), NumberPreparation(), ids, 2, False), -ids)


def test_d4_average_is_the_mean_over_eight_views():
    ids = np.array([4, 8])
    # the corner comes to the first pixel in two of the eight views
    np.testing.assert_allclose(logits(corner_model(), NumberPreparation(), ids, 2, True), ids * (6 - 2) / 8)


def test_the_first_view_is_kept_beside_the_mean_and_is_the_image_as_it_is():
    ids, ask = np.array([4, 8, 5]), inference_of(corner_model(), 2)
    both, alone = (views_of(ask, NumberPreparation(), ids, 2, d4_average) for d4_average in (True, False))
    np.testing.assert_array_equal(both.mean, logits(corner_model(), NumberPreparation(), ids, 2, True))
    np.testing.assert_array_equal(both.one, -ids)
    np.testing.assert_array_equal(alone.mean, -ids)
    assert alone.one is None


def test_d4_views_are_the_group():
    image = np.arange(9.0).reshape(1, 3, 3, 1)
    np.testing.assert_array_equal(next(d4_views(image)), image)
    views = {view.tobytes() for view in d4_views(image)}
    assert len(views) == 8
    assert {again.tobytes() for view in d4_views(image) for again in d4_views(view)} == views


@given(count=st.integers(0, 300), batch_size=st.integers(1, 70))
def test_slices_cover_everything_once(count, batch_size):
    numbers = np.arange(count)
    parts = slices(count, batch_size)
    assert np.concatenate([numbers[part] for part in parts] or [numbers]).tolist() == numbers.tolist()
    whole = whole_slices(count, batch_size)
    assert whole == parts[: len(whole)]
    assert len(whole) >= min(len(parts), 1) and len(parts) - len(whole) <= 1
    if len(whole) > 1:
        assert {part.stop - part.start for part in whole} == {batch_size}


def test_ahead_keeps_order_and_raises_what_the_worker_raised():
    calls = [(number, number + 1) for number in range(7)]
    with ThreadPoolExecutor(3) as executor:
        for options in ({}, {"depth": 3}, {"executor": executor, "depth": 5}, {"executor": executor, "depth": 100}):
            assert list(ahead(operator.mul, calls, **options)) == [a * b for a, b in calls]

    def broken(number):
        raise InputError("shard gone")

    with pytest.raises(InputError, match="shard gone"):
        list(ahead(broken, [(1,), (2,)]))


class Interrupted(Exception):
    pass


def test_a_stopped_prediction_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr("lensfold.runs.predictions.PART_OBJECTS", 10)
    ids = np.arange(35) + 200001
    asked = []

    class Pixels:
        def plain(self, wanted):
            asked.extend(wanted.tolist())
            return np.broadcast_to(wanted.astype(np.float32)[:, None, None, None], (len(wanted), 2, 2, 1))

    def stop_at(limit):
        def report(done, total):
            assert total == 35
            if done >= limit:
                raise Interrupted

        return report

    settings, folder = PredictSettings(batch_size=4, d4_average=False), tmp_path / "parts"
    with pytest.raises(Interrupted):
        logits_in_parts(inference_of(corner_model(2), 4), Pixels(), ids, settings, folder, stop_at(25))
    assert sorted(path.name for path in folder.iterdir()) == [
        f"part-{number}of4.{kind}" for number in (1, 2) for kind in ("csv", "json")
    ]
    (folder / "part-2of4.csv").write_text("ID,logit\n200009,")  # killed while it was copied, say
    asked.clear()
    values = logits_in_parts(inference_of(corner_model(2), 4), Pixels(), ids, settings, folder, stop_at(99))
    assert min(asked) == 200009  # the damaged part and what follows
    np.testing.assert_array_equal(values, logits(corner_model(2), Pixels(), ids, 4, False))


@given(values=npst.arrays(np.float64, st.integers(1, 20), elements=st.floats(-1e300, 1e300)))
def test_logit_files_round_trip_to_the_last_bit(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("logits") / "oof.csv"
    ids = np.arange(len(values))[::-1] + 200001
    write_logits(path, ids, values)
    table = read_logits(path)
    assert table.index.is_monotonic_increasing
    np.testing.assert_array_equal(table.loc[ids].to_numpy(), values)
    write_logits(path, ids, values, values[::-1])
    np.testing.assert_array_equal(read_logits(path), table)
    np.testing.assert_array_equal(read_views(path).loc[ids], np.stack([values, values[::-1]], axis=1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged"),
        ("ID,logit\n1,x\n", "damaged"),
        ("ID,score\n1,0.5\n", "expected ID,logit"),
        ("ID,logit\n1,0.5\n1,0.6\n", "ID 1 stands there twice"),
        ("ID,logit\n1,0.5\n2,\n", "logit of ID 2 is not a finite number"),
        ("ID,logit\n1,0.5\n2,inf\n", "logit of ID 2 is not a finite number"),
        ("ID,logit,one_view\n1,0.5,0.4\n2,0.5,\n", "logit of ID 2 is not a finite number"),
        ("ID,one_view\n1,0.5\n", "expected ID,logit"),
        (f"ID,logit\n{10**30},0.5\n", "not every ID is a whole number of 64 bits"),
    ],
)
def test_damaged_logit_files_are_refused(tmp_path, text, message):
    path = tmp_path / "oof.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_logits(path)
    assert "oof.csv" in str(error.value)


def test_absent_and_damaged_networks(tmp_path):
    with pytest.raises(InputError, match=r"model\.keras: no trained network"):
        load_model(tmp_path / "model.keras")
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(InputError, match=r"model\.keras: damaged .*\(cut off or overwritten: 12 bytes"):
        load_model(tmp_path / "model.keras")
