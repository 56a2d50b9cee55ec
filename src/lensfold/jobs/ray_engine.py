"""A Ray cluster as the engine: the same processes as on one machine, started where Ray finds a place for them.

Only command lines and paths travel; all nodes see the same folder, which is checked before anything starts.
"""

import os
import platform
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType

from lensfold.errors import InputError
from lensfold.files import exclusive, is_locked
from lensfold.jobs.job import Job
from lensfold.jobs.plan import Work
from lensfold.jobs.process import cores, run_process
from lensfold.runs.provenance import training_code, versions

#: seconds that a head node has to answer, to say its state, and that the nodes have to be looked at
ANSWER_SECONDS, STATUS_SECONDS, LOOK_SECONDS = 5, 20, 120
#: times that Ray itself starts a job again whose node or worker process was lost
RESTARTS = 3
#: longest folder that Ray's sockets fit below; the system allows them 107 bytes
LONGEST_FOLDER = 20
LOOPBACK = "127.0.0.1"
#: Ray sets it to the cores of a job; a result must not depend on who starts the job
NOT_FROM_RAY: Mapping[str, None] = {"OMP_NUM_THREADS": None}


class RayEngine:
    """Runs jobs on the cluster that this process has joined; Ray queues them and starts lost ones again."""

    def __init__(self, work: Work, gpus: int):
        """``gpus``: of each job that runs a network."""
        import ray

        self._work = work
        self._gpus = gpus
        self._run = ray.remote(run_process)

    def submit(self, job: Job) -> Future:
        """Run a job as soon as a node has room for it."""
        place = self._run.options(
            num_cpus=self._work.threads(job),
            num_gpus=_gpus(job, self._gpus),
            max_retries=RESTARTS,
            name=str(job),
        )
        return place.remote(self._work.command(job), str(self._work.log(job).resolve()), NOT_FROM_RAY).future()


@contextmanager
def ray_engine(work: Work, address: str | None, processes: int | None, jobs: list[Job]) -> Iterator[RayEngine]:
    """The engine on the cluster at ``address`` (``host:port``), or on one of this machine for ``processes`` jobs.

    Raises InputError where Ray is not installed, where nothing answers at the address, where a node has other versions
    or does not see this project's folder, and where no node is large enough for a job.
    """
    with _joined(work, address, processes, jobs) as ray:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        gpus = int(any(node["Resources"].get("GPU") for node in nodes))
        _check_room(work, jobs, nodes, gpus)
        _check_nodes(work, nodes)
        yield RayEngine(work, gpus)


@contextmanager
def _joined(work: Work, address: str | None, processes: int | None, jobs: list[Job]) -> Iterator[ModuleType]:
    """Ray, with this process in the cluster at ``address``, or in one of its own."""
    options: dict = {"address": address}
    with ExitStack() as stack:
        if not address:
            most = max(work.threads(job) for job in jobs)
            size = (processes or max(1, cores() // most)) * most
            options = {"address": "local", "num_cpus": size, **stack.enter_context(_of_this_user())}
        ray = _installed_ray()
        if address:
            _check_answers(address)
        try:
            ray.init(**options, logging_level="ERROR", log_to_driver=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(
                f"Ray cannot start or join ({error}). Check ADDRESS and the versions of the nodes."
            ) from error
        stack.callback(ray.shutdown)
        if address:
            print(_trusted(address), flush=True)
        else:
            _check_is_private(ray.nodes())
        yield ray


@contextmanager
def _of_this_user() -> Iterator[dict]:
    """Options of a cluster on this machine that other users and machines cannot reach, until the context ends.

    It listens on the loopback address alone, asks for a token, and keeps its files where only this user can read.
    """
    place = next((one for one in (tempfile.gettempdir(), "/tmp") if len(one) <= LONGEST_FOLDER), "/tmp")
    with tempfile.TemporaryDirectory(prefix="lensfold-ray-", dir=place) as folder:
        token = Path(folder) / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        variables = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_AUTH_TOKEN": None,  # it would come first
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # named after where it is the default: one machine alone
        }
        with _environment(variables):
            # Ray lets everybody into the folder it is given: it gets one inside
            yield {"_temp_dir": str(Path(folder) / "r"), "_node_ip_address": LOOPBACK, "include_dashboard": False}


@contextmanager
def _environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Set variables of the environment, or (None) remove them, until the context ends."""
    before = {name: os.environ.pop(name, None) for name in variables}
    os.environ.update({name: value for name, value in variables.items() if value is not None})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _check_is_private(nodes: list[dict]) -> None:
    """InputError where our own cluster can be reached from other machines, as by a version of Ray that knows no way."""
    reachable = [node["NodeManagerAddress"] for node in nodes if node["NodeManagerAddress"] != LOOPBACK]
    if reachable:
        raise InputError(
            f"Ray listens on {reachable[0]}, where other machines can reach it, and not on {LOOPBACK} alone: it was "
            "imported before this, or is of another version. `make ray` installs the right one."
        )


def _trusted(address: str) -> str:
    """Return what joining the cluster at an address means for who joins."""
    asks = os.environ.get("RAY_AUTH_MODE") == "token"
    token = "it asks for a token" if asks else "it asks for no token (RAY_AUTH_MODE=token on all nodes makes it)"
    return (
        f"Joined the Ray cluster at {address}. It is trusted: whoever can reach it may run code on its nodes, with "
        f"this project's files, and {token}."
    )


def _installed_ray() -> ModuleType:
    # else Ray would report each use to its makers over the network
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise InputError("EXECUTOR=ray needs Ray: `make ray` installs it.") from error
    return ray


def _check_answers(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"ADDRESS={address}: expected host:port of the head node, as `ray start --head` prints it.")
    try:
        socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"ADDRESS={address}: nothing answers there ({error}). Start a head node with `ray start --head`, and take "
            "the address it prints."
        ) from error
    _check_is_ray(address)


def _check_is_ray(address: str) -> None:
    """InputError unless a Ray cluster answers; ray.init would wait for one for ever."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=STATUS_SECONDS)
        failure = done.stderr.strip().splitlines()[-1:] if done.returncode else []
    except subprocess.TimeoutExpired:
        failure = [f"no answer within {STATUS_SECONDS} s"]
    if failure:
        raise InputError(
            f"ADDRESS={address}: what answers there is no Ray cluster that this Ray can join ({failure[0]}). Take the "
            "address that `ray start --head` prints, and the same versions of Python and Ray on every node."
        )


def _gpus(job: Job, gpus: int) -> int:
    """GPUs of a job, where a job that runs a network has ``gpus``."""
    return gpus if job.is_computed else 0


def _check_room(work: Work, jobs: list[Job], nodes: list[dict], gpus: int) -> None:
    """InputError for a job that no node has the cores and GPUs for: Ray would wait for one for ever."""
    for job in jobs:
        able = [node["Resources"] for node in nodes if node["Resources"].get("GPU", 0) >= _gpus(job, gpus)]
        most = max((int(resources.get("CPU", 0)) for resources in able), default=0)
        if work.threads(job) > most:
            raise InputError(
                f"{job} computes with {work.threads(job)} threads (train.threads), the largest node that can run it "
                f"has {most} cores. Join a larger node, or set train.threads lower."
            )


def _check_nodes(work: Work, nodes: list[dict]) -> None:
    """InputError naming the first node that has other versions than this one, or another file system."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    folder = work.workspace.jobs(work.pack.name).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".probe-{secrets.token_hex(8)}"
    probe.write_text(probe.name)
    look = ray.remote(look_around)
    try:
        with exclusive(probe.with_suffix(".lock")):
            looks = [
                look.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
                .remote(str(probe))
                for node in nodes
            ]  # fmt: skip
            for node, found in zip(nodes, looks, strict=True):
                name = f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
                _check_node(name, probe, _answer(name, found))
    finally:
        for path in folder.glob(f"{probe.name}*"):
            path.unlink()


def _answer(name: str, look: object) -> dict:
    import ray

    try:
        return ray.get(look, timeout=LOOK_SECONDS)
    except ray.exceptions.GetTimeoutError as error:
        raise InputError(f"{name}: does not answer for {LOOK_SECONDS} s. Remove it from the cluster.") from error
    except ray.exceptions.RayError as error:
        last = str(error).strip().splitlines()[-1]
        raise InputError(
            f"{name}: lensfold does not start there ({last}). Install the same lensfold there as here."
        ) from error


def _check_node(name: str, probe: Path, found: dict) -> None:
    here = what_is_here()
    different = [key for key in sorted(here.keys() | found["here"].keys()) if here.get(key) != found["here"].get(key)]
    if different:
        key = different[0]
        raise InputError(
            f"{name}: {key} is {found['here'].get(key)}, here it is {here.get(key)}: results would differ. Install the "
            "same versions on every node."
        )
    if found["read"] != probe.name or not Path(found["wrote"]).is_file():
        raise InputError(
            f"{name}: does not see {probe.parent} as this machine does. Every node needs this project's folder at the "
            "same path, on a shared file system."
        )
    if not found["locked"]:
        raise InputError(
            f"{name}: does not see that a file in {probe.parent} is locked here, so that two nodes could do one job. "
            "Use a file system that locks files for all nodes, such as NFS 4, or Lustre mounted with -o flock."
        )


def what_is_here() -> dict[str, str]:
    """Versions of all that can change a result, lensfold's own code among them."""
    code = {f"lensfold.{name}": digest for name, digest in training_code().items()}
    return {**versions(), **code, "machine": platform.machine()}


def look_around(probe: str) -> dict:
    """On a node: its versions, what it reads in the file ``probe``, the file that it wrote beside it, and
    whether it sees the lock there."""
    path = Path(probe)
    wrote = path.with_name(f"{path.name}-{secrets.token_hex(4)}")
    try:
        read = path.read_text()
        wrote.write_text("seen")
    except OSError:
        read = None
    return {
        "here": what_is_here(),
        "read": read,
        "wrote": str(wrote),
        "locked": is_locked(path.with_suffix(".lock")),
    }
