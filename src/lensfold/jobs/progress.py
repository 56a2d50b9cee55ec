"""How far jobs are: what they print, as they print it, and a table of all that are asked for."""

import json
from collections.abc import Mapping, Set
from pathlib import Path

from lensfold.console import show_table
from lensfold.files import is_locked
from lensfold.jobs.job import Job
from lensfold.jobs.plan import Work

#: bytes of a log that are read for its last line
END = 4096


class Follower:
    """Prints what jobs add to their logs."""

    def __init__(self, logs: list[Path]):
        """``logs``: from their beginning, where they exist, else as soon as they do."""
        self._read = dict.fromkeys(logs, 0)

    def __call__(self) -> None:
        """Print every whole line that is new."""
        for log, start in self._read.items():
            if not log.is_file() or log.stat().st_size <= start:
                continue
            with log.open("rb") as stream:
                stream.seek(start)
                whole, newline, _ = stream.read().rpartition(b"\n")
            if newline:
                print(whole.decode(errors="replace"), flush=True)
                self._read[log] = start + len(whole) + 1


def show_progress(work: Work, jobs: Mapping[Job, Set[Job]], needed: Set[Job]) -> None:
    """Print a table: of each kind of job on each split or experiment how many are done, at work, stopped, to do."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.group, []).append(job)
    rows = [_row(work, group, members, needed) for group, members in groups.items()]
    done = len(jobs) - len(needed)
    title = f"jobs · pack {work.pack.name} · {done} of {len(jobs)} done"
    show_table(title, ("jobs", "all", "done", "at work", "stopped", "to do", "core-seconds", "latest"), rows)


def _row(work: Work, group: str, members: list[Job], needed: Set[Job]) -> tuple:
    records = {job: _record(work, job) for job in members}
    states = [_state(work, job, records[job]) for job in members if job in needed]
    seconds = [records[job]["core_seconds"] for job in members if job not in needed and "core_seconds" in records[job]]
    working = [job for job in members if job in needed and _state(work, job, records[job]) == "at work"]
    return (
        group,
        len(members),
        len(members) - len(states),
        *(states.count(state) or "" for state in ("at work", "stopped", "to do")),
        f"{sum(seconds):.0f}" if seconds else "",
        _last_line(work.log(working[-1])) if working else "",
    )


def _state(work: Work, job: Job, record: dict) -> str:
    if is_locked(work.log(job).with_suffix(".lock")):
        return "at work"
    return "stopped" if record.get("state") in ("failed", "running") else "to do"


def _record(work: Work, job: Job) -> dict:
    try:
        return json.loads(work.log(job).with_suffix(".json").read_text())
    except (OSError, ValueError):
        return {}


def _last_line(log: Path) -> str:
    if not log.is_file():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - END))
        lines = stream.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:80] if lines else ""
