"""This machine as the engine: processes side by side, each with a GPU of its own where there are GPUs."""

import os
import queue
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from lensfold.jobs.job import Job
from lensfold.jobs.plan import Work
from lensfold.jobs.process import cores, run_process


class LocalEngine:
    """Runs jobs as processes of this machine, ``processes`` at a time."""

    def __init__(self, work: Work, pool: ThreadPoolExecutor, devices: "queue.Queue[str | None]"):
        """``devices``: a value of CUDA_VISIBLE_DEVICES for each process, or None to leave it as it is."""
        self._work = work
        self._pool = pool
        self._devices = devices
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End the jobs that run, and begin none."""
        self._stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, job: Job) -> Future:
        """Run a job as soon as a process may start."""
        return self._pool.submit(self._run, job)

    def _run(self, job: Job) -> None:
        device = self._devices.get()
        try:
            variables = {} if device is None else {"CUDA_VISIBLE_DEVICES": device}
            run_process(self._work.command(job), str(self._work.log(job)), variables, self._stopped.is_set)
        finally:
            self._devices.put(device)


@contextmanager
def local_engine(work: Work, processes: int | None) -> Iterator[LocalEngine]:
    """The engine with ``processes`` at a time: by default one a GPU, or one a core where there is no GPU."""
    gpus = visible_gpus()
    processes = processes or len(gpus) or cores()
    devices: queue.Queue[str | None] = queue.Queue()
    for number in range(processes):
        devices.put(gpus[number % len(gpus)] if gpus else None)
    engine = LocalEngine(work, ThreadPoolExecutor(processes), devices)
    try:
        yield engine
    finally:
        engine.stop()


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; found without TensorFlow."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [device.strip() for device in chosen.split(",") if device.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    gpus = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(gpus))] if listed.returncode == 0 else []
