"""A Ray cluster of two nodes of this machine: what it makes is what one machine makes, whatever is lost on the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from fakes.jobs import contents, free_port, is_alive, wait_until
from fakes.workspace import environment, lensfold

from lensfold.errors import InputError
from lensfold.files import exclusive
from lensfold.jobs import ray_engine
from lensfold.jobs.job import Job
from lensfold.jobs.plan import Work
from lensfold.paths import Workspace

ray = pytest.importorskip("ray")
ASKED = ("--pack", "fake", "--experiment", "tiny", "--parts", "2")

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes of one core each; the first is the head and outlives every test."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        found.add_node(num_cpus=1)
        found.wait_for_nodes()
        yield found
        found.shutdown()


def start(workspace, address) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "lensfold",
        "run",
        "train",
        "predict",
        *ASKED,
        "--executor",
        "ray",
        "--address",
        address,
    ]
    return subprocess.Popen(
        command, cwd=workspace, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(driver, seconds=300) -> str:
    out, _ = driver.communicate(timeout=seconds)
    assert driver.returncode == 0, out
    return out


def jobs_folder(workspace) -> Path:
    return workspace / "runs" / "fake" / ".jobs"


def wait_for_epoch(workspace, fold, epoch) -> None:
    log = jobs_folder(workspace) / f"train:tiny:{fold}.log"
    wait_until(lambda: log.is_file() and f"epoch  {epoch}/4" in log.read_text(), 180)


def check_complete(workspace, undisturbed) -> None:
    """Nothing lost, nothing doubled: the bytes of a run of one process that nothing disturbed."""
    runs, other = workspace / "runs" / "fake" / "tiny", undisturbed / "runs" / "fake" / "tiny"
    assert contents(runs, "fold*/oof.csv") == contents(other, "fold*/oof.csv")
    assert len(contents(runs, "fold*/test/fake.csv")) == 3
    assert not list(runs.glob("fold*/test/.fake-*"))
    assert "12 of 12 done" in lensfold(workspace, "jobs", *ASKED).stdout


def processes_of(workspace, job) -> list[int]:
    """Processes that do a job of this workspace."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if job.encode() in words and str(workspace.resolve()).encode() in words:
            found.append(int(entry.parent.name))
    return found


def processes_below(pid) -> list[int]:
    """A process, its children, theirs, and so on; with those of Ray that lead a session of their own."""
    below = [pid]
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(entry.name)] = parent_of(entry.name)
    for one in below:
        below += [child for child, parent in parents.items() if parent == one]
    return below


def parent_of(pid) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_a_cluster_makes_what_one_machine_makes_whatever_is_killed(workspace, cluster, trained_workspace):
    """From no cache to predictions; a worker of Ray is killed, and later the process of another fold."""
    shutil.rmtree(workspace / "data" / "fake" / "cache")
    driver = start(workspace, cluster.address)
    wait_for_epoch(workspace, 0, 1)
    (job,) = processes_of(workspace, "train:tiny:0")
    os.kill(parent_of(job), signal.SIGKILL)  # the fold's own process must go with its worker
    wait_until(lambda: not is_alive(job), 30)
    wait_for_epoch(workspace, 2, 2)
    (job,) = processes_of(workspace, "train:tiny:2")
    os.kill(job, signal.SIGKILL)
    out = finish(driver)
    assert "train:tiny:2 failed (killed by signal 9); attempt 2 of 3" in out
    assert "tiny fold 0  epoch  4/4" in out and "It is trusted: whoever can reach it" in out
    check_complete(workspace, trained_workspace)
    # of two parts of the one shard of each split the first has nothing to do
    assert len(list(jobs_folder(workspace).glob("*.json"))) == 10


def test_a_node_is_lost_in_the_middle_of_a_fold(workspace, cluster, trained_workspace):
    driver = start(workspace, cluster.address)
    wait_for_epoch(workspace, 0, 1)
    wait_for_epoch(workspace, 1, 1)  # one fold on each node
    cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
    finish(driver)
    check_complete(workspace, trained_workspace)


def test_the_driver_is_killed_and_started_again(workspace, cluster, trained_workspace):
    driver = start(workspace, cluster.address)
    wait_for_epoch(workspace, 0, 1)
    left = processes_of(workspace, "train:tiny:0")
    driver.kill()
    driver.wait()
    driver.stdout.close()
    wait_until(lambda: not any(map(is_alive, left)), 60)  # what it had started ends with it
    finish(start(workspace, cluster.address))
    check_complete(workspace, trained_workspace)


def engine(workspace, address):
    place = Workspace(workspace)
    return ray_engine.ray_engine(Work(place, place.pack("fake")), address, None, [Job("merge", "train")])


@pytest.mark.parametrize(
    ("address", "words"),
    [("127.0.0.1:{port}", "nothing answers there"), ("nowhere", "expected host:port"), ("host:x", "expected host:port"),
     ("127.0.0.1:99999999", "nothing answers there")],
)  # fmt: skip
def test_an_address_that_does_not_answer(workspace, address, words):
    started = time.monotonic()
    with pytest.raises(InputError, match=words), engine(workspace, address.format(port=free_port())):
        pass
    assert time.monotonic() - started < 30


def test_something_else_answers(workspace):
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"], stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, env={**environment(), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        port = server.stdout.readline().split("port ")[1].split()[0]
        done = lensfold(
            workspace, "run", "train", *ASKED, "--executor", "ray", "--address", f"127.0.0.1:{port}", check=False
        )
        assert done.returncode == 1 and "what answers there is no Ray cluster" in done.stderr
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


LISTENING = """
import json, os, sys
from pathlib import Path
from lensfold.jobs.job import Job
from lensfold.jobs.plan import Work
from lensfold.jobs.ray_engine import ray_engine
from lensfold.paths import Workspace

place = Workspace(Path(sys.argv[1]))
with ray_engine(Work(place, place.pack("fake")), None, 1, [Job("merge", "train")]):
    import ray
    print(json.dumps({
        "address": ray.get_runtime_context().gcs_address,
        "token": os.environ["RAY_AUTH_TOKEN_PATH"],
    }), flush=True)
    sys.stdin.read()
print(sorted(name for name in os.environ if name.startswith("RAY_AUTH")))
"""


def listening_addresses(processes) -> set[str]:
    """Addresses, as the kernel writes them, on which processes wait for connections."""
    links = [link for process in processes for link in Path(f"/proc/{process}/fd").glob("*")]
    mine = {str(link.readlink()) for link in links if link.is_symlink()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in mine:
                found.add(words[1].split(":")[0])
    return found


def test_our_own_cluster_is_for_this_user_on_this_machine(workspace, tmp_path):
    """It listens on 127.0.0.1 alone, its files are this user's alone, and a stranger without the token is refused."""
    driver = subprocess.Popen(
        [sys.executable, "-c", LISTENING, str(workspace)], env=environment(), text=True, process_group=0,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        found = json.loads(driver.stdout.readline())
        assert found["address"].startswith("127.0.0.1:")
        loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
        assert listening_addresses(processes_below(driver.pid)) <= loopback
        assert listening_addresses(processes_below(driver.pid))
        folder = Path(found["token"]).parent
        assert folder.stat().st_mode & 0o077 == 0 and Path(found["token"]).stat().st_mode & 0o077 == 0
        stranger = {name: value for name, value in environment().items() if not name.startswith("RAY_AUTH")}
        command = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", found["address"]]
        stranger |= {"HOME": str(tmp_path), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # knocks at 127.0.0.1
        done = subprocess.run(command, env=stranger, capture_output=True, text=True)
        assert done.returncode != 0 and "oken" in done.stdout + done.stderr
    finally:
        out, _ = driver.communicate("", timeout=120)
    assert driver.returncode == 0 and out.strip() == "[]" and not folder.exists()


def test_a_cluster_that_others_can_reach_is_not_ours():
    ray_engine._check_is_private([{"NodeManagerAddress": "127.0.0.1"}])
    with pytest.raises(InputError, match=r"Ray listens on 10\.0\.0\.7, where other machines can reach it"):
        ray_engine._check_is_private([{"NodeManagerAddress": "10.0.0.7"}])


@pytest.mark.parametrize(("mode", "words"), [("token", "it asks for a token"), ("disabled", "it asks for no token")])
def test_joining_says_what_is_trusted(monkeypatch, mode, words):
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    said = ray_engine._trusted("head:6379")
    assert "cluster at head:6379. It is trusted" in said and words in said


NODE = "node n (127.0.0.1)"


def probe(tmp_path, **found) -> dict:
    path = tmp_path / ".probe-1"
    path.write_text(path.name)
    with exclusive(path.with_suffix(".lock")):
        return ray_engine.look_around(str(path)) | found


def test_nodes_with_other_versions_or_files_are_named(tmp_path):
    path = tmp_path / ".probe-1"
    ray_engine._check_node(NODE, path, probe(tmp_path))
    other = ray_engine.what_is_here() | {"numpy": "1.0"}
    with pytest.raises(InputError, match=r"node n \(127.0.0.1\): numpy is 1.0, here it is "):
        ray_engine._check_node(NODE, path, probe(tmp_path, here=other))
    changed = ray_engine.what_is_here() | {"lensfold.training.network": "0"}
    with pytest.raises(InputError, match="lensfold.training.network is 0"):
        ray_engine._check_node(NODE, path, probe(tmp_path, here=changed))
    with pytest.raises(InputError, match="does not see that a file in .* is locked"):
        ray_engine._check_node(NODE, path, probe(tmp_path, locked=False))
    for found in ({"read": None}, {"read": "another"}, {"wrote": str(tmp_path / "elsewhere")}):
        with pytest.raises(InputError, match="does not see .* on a shared file system"):
            ray_engine._check_node(NODE, path, probe(tmp_path, **found))
    assert ray_engine.look_around(str(tmp_path / "nowhere" / "probe"))["read"] is None


def test_no_node_is_large_enough(workspace):
    experiment = workspace / "experiments" / "tiny.toml"
    experiment.write_text(experiment.read_text().replace("[train]", "[train]\nthreads = 8"))
    place = Workspace(workspace)
    asked = Work(place, place.pack("fake"), trained=("tiny",))
    nodes = [{"Resources": {"CPU": 4.0, "GPU": 1.0}}, {"Resources": {"CPU": 16.0}}]
    ray_engine._check_room(asked, [Job("train", "tiny", 0), Job("merge", "train")], nodes, 0)
    with pytest.raises(InputError, match=r"8 threads .* the largest node that can run it has 4 cores"):
        ray_engine._check_room(asked, [Job("train", "tiny", 0)], nodes, 1)


def test_without_ray_the_extra_is_named(workspace, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="`make ray` installs it"), engine(workspace, None):
        pass
