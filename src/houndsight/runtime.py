"""Runs a graph: float32 (n, 3, h, w) in, the outputs asked for by name out."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from houndsight.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["OnnxRuntime", "Runtime", "available_cpus"]


class Runtime(Protocol):
    """What an embedder needs of whatever runs its network.

    Attributes
    ----------
    device
        Where it runs, in the runtime's own words.
    versions
        Versions of the libraries that take part, by name.
    """

    @property
    def device(self) -> str:
        """Where it runs."""
        ...

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the libraries that take part."""
        ...

    def run(self, pixels: NDArray[np.float32], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Run the network once.

        Parameters
        ----------
        pixels
            float32 (n, 3, h, w), shaped and scaled as the model wants it.
        outputs
            Names of the outputs wanted: ``vector`` (n, dim), ``map`` (n, dim, h / 32, w / 32).

        Returns
        -------
        list of ndarray
            float32, in the order of `outputs`.

        Raises
        ------
        ModelError
            The graph lacks an output, or cannot be run on these pixels.
        """
        ...


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


class OnnxRuntime:
    """Runs a graph with ONNX Runtime on the CPU.

    Safe to use from several threads at once.

    Parameters
    ----------
    graph
        A serialized ONNX model with one input, which is not kept; or the path of one that was saved
        after optimisation, which is taken as it is.
    threads
        Threads of one run; ``None`` for `available_cpus`.
    save
        Where to write the graph as it is after optimisation, for this version of ONNX Runtime on
        this processor.

    Raises
    ------
    ModelError
        ONNX Runtime cannot load the graph.
    """

    def __init__(
        self, graph: bytes | Path, *, threads: int | None = None, save: Path | None = None
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = available_cpus() if threads is None else threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # fatal: everything else arrives as an exception
        if save is not None:
            options.optimized_model_filepath = str(save)
        if isinstance(graph, Path):
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            session = onnxruntime.InferenceSession(
                graph, sess_options=options, providers=["CPUExecutionProvider"]
            )
        # ONNX Runtime's exceptions have no base of their own.
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot load the graph: {_brief(error)}") from error
        inputs = session.get_inputs()
        if len(inputs) != 1:
            raise ModelError(f"the graph has {len(inputs)} inputs, not one")
        self._session: Any = session
        self._input: str = inputs[0].name
        self.outputs = tuple(output.name for output in session.get_outputs())
        self.device = "cpu"
        self.versions = {"onnxruntime": str(onnxruntime.__version__)}

    def run(self, pixels: NDArray[np.float32], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Run the network once; see `Runtime.run`."""
        lacking = [name for name in outputs if name not in self.outputs]
        if lacking:
            raise ModelError(
                f"the graph has no output {lacking[0]!r}, only {', '.join(self.outputs)}",
                remedy="Use a graph that has it, or leave out what needs it",
            )
        try:
            made: list[NDArray[np.float32]] = self._session.run(
                list(outputs), {self._input: pixels}
            )
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot run the graph: {_brief(error)}") from error
        return made


def _brief(error: Exception) -> str:
    """Return the first line of a message that may have many."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
