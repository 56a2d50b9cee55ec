"""The real Makefile, end to end, in a temporary tree: what a user types and nothing else."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.workspace import PROJECT, environment, write_kernel, write_settings

OOF = "runs/smoke/kernel/fold{}/oof.csv"
KERNEL = "SUBMISSION=kernel"


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """The project's files with two tiny experiments, and this interpreter's environment in the place of .venv."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("Makefile", "requirements.txt", "pyproject.toml", "train.sh", "predict.sh"):
        shutil.copy2(PROJECT / name, tree / name)  # with its time, or make would install again
    write_settings(tree)
    write_kernel(tree)
    folds = tree / "folds" / "folds.toml"
    folds.write_text(folds.read_text().replace("k = 3", "k = 2"))  # each fold is a process that starts TensorFlow
    installed = Path(sys.prefix) / ".installed"
    if not installed.exists() or installed.stat().st_mtime < (tree / "pyproject.toml").stat().st_mtime:
        pytest.skip("not run from the environment that make installs, or that is to be installed anew")
    (tree / ".venv").symlink_to(sys.prefix)
    return tree


def make(tree: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    done = subprocess.run(
        ["make", "PACK=smoke", *arguments], cwd=tree, capture_output=True, text=True, env=environment()
    )
    if check and done.returncode:
        raise AssertionError(f"exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def files(tree: Path) -> dict[str, int]:
    """Modification times of everything made."""
    made = [
        *tree.glob("runs/**/*"),
        *tree.glob("data/*/cache/**/*"),
        *tree.glob("folds/*"),
        *tree.glob("submissions/**/*"),
    ]
    kept = (path for path in made if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(tree)): path.stat().st_mtime_ns for path in kept}


@pytest.mark.slow
def test_folds_train_predict_from_nothing_and_again(tree):
    text = make(tree, "folds", "train", "predict").stdout
    for word in (
        "simulate smoke",
        "folds · pack smoke",
        "cache smoke train",
        "fold 1  epoch  4/4",
        "ensemble",
        "re-read",
    ):
        assert word in text
    assert len((tree / "submissions/smoke/default.csv").read_text().splitlines()) == 24
    time.sleep(2.1)
    make(tree, "cache")  # files that were too young for their times to be trusted are looked at once more
    before = files(tree)
    started = time.monotonic()
    make(tree, "folds", "train", "predict")
    assert files(tree) == before
    print(f"second run: {time.monotonic() - started:.1f} s")

    assert "default on the test key" in make(tree, "grade").stdout


@pytest.fixture(scope="module")
def predicted(tree) -> Path:
    """The submission of the kernel machine: what is about jobs, not networks, starts no TensorFlow in each of them."""
    make(tree, "predict", KERNEL)
    return tree


@pytest.mark.slow
def test_a_lost_fold_is_made_again_and_not_the_other(predicted):
    """With the same bytes."""
    tree = predicted
    lost = tree / OOF.format(1)
    content, other = lost.read_bytes(), (tree / OOF.format(0)).stat().st_mtime_ns
    lost.unlink()
    make(tree, "predict", KERNEL)
    assert lost.read_bytes() == content
    assert (tree / OOF.format(0)).stat().st_mtime_ns == other


SBATCH = """\
#!/bin/bash
for word in "$@"; do case $word in --array=*) range=${word#--array=} ;; esac; done
while [[ $1 == --* ]]; do shift; done
for number in $(seq ${range%-*} ${range#*-}); do
  SLURM_ARRAY_TASK_ID=$number bash "$@" || exit 1
done
echo "$RANDOM"
"""


@pytest.mark.slow
def test_the_same_by_slurm(predicted, tmp_path):
    """With an sbatch that runs each array at once; the pack under a second name, so that nothing is made yet."""
    tree = predicted
    for name, text in (("sbatch", SBATCH), ("squeue", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    path = f"PATH={tmp_path}:{os.environ['PATH']}"
    own = ("PACK=again", "DATA=data/smoke", KERNEL, "EXECUTOR=slurm", "PARTS=2", path)
    text = make(tree, "folds", "train", "predict", *own).stdout
    assert text.count("Submitted.") == 1
    for fold in range(2):
        other = tree / OOF.format(fold)
        assert (tree / OOF.replace("/smoke/", "/again/").format(fold)).read_bytes() == other.read_bytes()
    assert (tree / "submissions/again/kernel.csv").read_bytes() == (tree / "submissions/smoke/kernel.csv").read_bytes()
    again = make(tree, "folds", "train", "predict", *own).stdout
    assert "Submitted." not in again and "kernel.csv is up to date" in again
    assert "done" in make(tree, "jobs", *own).stdout


@pytest.mark.slow
def test_mistakes_in_make(tree):
    done = make(tree, "train", "EXPERIMENT=nothing", check=False)
    assert done.returncode != 0 and "Files there: kernel, tiny" in done.stderr
    for goal in ("predict", "train"):
        done = make(tree, goal, "SUBMISSION=nothing", check=False)
        assert done.returncode != 0 and "submissions/nothing.toml: cannot be read" in done.stderr
    done = make(tree, "train", "EXECUTOR=cloud", check=False)
    assert done.returncode != 0 and "EXECUTOR=cloud: expected one of local, ray, slurm" in done.stderr
    done = make(tree, "folds", "DATA=nowhere", "PACK=mine", check=False)
    assert done.returncode != 0 and "nowhere/image_catalog2.0train.csv: no such catalog" in done.stderr


def test_a_wrong_python_is_refused_with_those_that_work(tree, tmp_path):
    fake = tmp_path / "python3.9"
    fake.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 9, 2); exec(sys.argv[1])" "$2"\n'
    )
    fake.chmod(0o755)
    done = subprocess.run(
        ["make", "test", f"PYTHON={fake}", f"VENV={tmp_path}/v"], cwd=tree, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "is Python 3.9; lensfold runs on 3.11, 3.12 and 3.13" in done.stderr
    assert not (tmp_path / "v").exists()
