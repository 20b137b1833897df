"""What the machine has: CPUs that may be used, and what they can do."""

import contextlib
import hashlib
import math
import os
import platform
import re
from pathlib import Path

from houndsight.errors import InputError

__all__ = ["available_cpus", "cpu_flags", "given", "processor", "usable_cpus"]


def given(variable: str) -> int | None:
    """Return the whole number, 1 or more, that an environment variable gives; None without it.

    Raises
    ------
    InputError
        If it holds anything else.
    """
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) < 1:
        raise InputError(
            f"{variable} is {text!r}", remedy="Set it to a number from 1, or not at all"
        )
    return int(text)


def _cgroup_quota(root: Path) -> float:
    """Return how many CPUs' worth of time the process's cgroup and those above it allow."""
    quota = math.inf
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return quota
    for line in lines:
        _, _, name = line.partition("0::/")
        group = Path(name)
        # In a container the path may be that of the host, which is not mounted: the root is.
        for folder in [group, *group.parents]:
            try:
                limit, _, period = (
                    (root / "sys/fs/cgroup" / folder / "cpu.max").read_text("utf-8").partition(" ")
                )
                quota = min(quota, int(limit) / int(period))
            except (OSError, ValueError, ZeroDivisionError):  # absent, or "max": no limit here
                continue
    return quota


def available_cpus(root: Path = Path("/")) -> int:
    """Return how many threads are to work at once: `usable_cpus`, or ``HOUNDSIGHT_THREADS``."""
    return given("HOUNDSIGHT_THREADS") or usable_cpus(root)


def usable_cpus(root: Path = Path("/")) -> int:
    """Return the number of CPUs that this process may use, at least one.

    `os.cpu_count` counts the machine's; this respects CPU affinity (taskset, Slurm) and the quota
    of cgroup version 2 (Docker's ``--cpus``, Kubernetes), rounded up. More threads than that are
    stopped again and again by the kernel.

    Parameters
    ----------
    root
        Where ``/proc`` and ``/sys`` are found.
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = _cgroup_quota(root)
    return count if math.isinf(quota) else max(1, min(count, math.ceil(quota)))


def cpu_flags() -> frozenset[str]:
    """Return the instruction sets of the processor as Linux names them; elsewhere none."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith(("flags", "Features")):
                return frozenset(line.partition(":")[2].split())
    return frozenset()


def processor() -> str:
    """Return a digest of what the processor can do: 8 hex digits."""
    text = f"{platform.machine()} {platform.processor()} {' '.join(sorted(cpu_flags()))}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]
