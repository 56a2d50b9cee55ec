"""A run is bound to the content of the file that its network starts from."""

import pytest
from fakes.workspace import TINY

from lensfold.errors import InputError
from lensfold.files import file_sha256
from lensfold.paths import Workspace
from lensfold.pipeline.configure import configure, is_configured
from lensfold.runs.run import Run


@pytest.fixture
def started(workspace):
    """A workspace whose experiment starts from a file; nothing reads it before a network is built."""
    path = workspace / "start.keras"
    path.write_bytes(b"first")
    experiment = workspace / "experiments" / "tiny.toml"
    experiment.write_text(TINY.replace("dropout = 0.3", f'weights = "file"\nweights_file = "{path}"'))
    return Workspace(workspace), path, experiment


def test_another_file_of_the_same_name_is_another_run(started):
    place, path, _ = started
    pack = place.pack("fake")
    first = Run(configure(place, pack, "tiny"))
    assert first.settings.learner.weights_sha256 == file_sha256(path)
    assert is_configured(place, pack, "tiny")
    path.write_bytes(b"second")
    assert not is_configured(place, pack, "tiny")
    second = Run(configure(place, pack, "tiny"))
    assert second.settings.learner.weights_sha256 == file_sha256(path)
    assert second.identity != first.identity
    path.write_bytes(b"first")
    assert Run(configure(place, pack, "tiny")).identity == first.identity


def test_a_file_that_is_gone_or_is_not_the_one_that_was_meant(started):
    place, path, experiment = started
    text = experiment.read_text()
    experiment.write_text(text.replace("[train]", f'weights_sha256 = "{64 * "0"}"\n[train]'))
    with pytest.raises(InputError, match=rf"start\.keras' has sha256 {file_sha256(path)}, and learner.weights_sha256"):
        configure(place, place.pack("fake"), "tiny")
    experiment.write_text(text)
    path.unlink()
    with pytest.raises(InputError, match=r"tiny\.toml: learner.weights_file = .*cannot be read \(No such file"):
        configure(place, place.pack("fake"), "tiny")
    experiment.write_text(text.replace('weights = "file"', "weights_head = true"))
    with pytest.raises(InputError, match='weights_sha256 and weights_head need weights = "file"'):
        configure(place, place.pack("fake"), "tiny")
