"""Runs a graph: float32 (n, 3, h, w) in, the outputs asked for by name out."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from houndsight.errors import ModelError
from houndsight.machine import available_cpus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CPU_ONLY", "GPUS", "WEIGHTS", "OnnxRuntime", "Runtime", "gpu_provider"]

# The file beside a saved graph that its weights are in.
WEIGHTS: Final = "weights.bin"
# The environment variable that keeps GPUs out when it is "cpu".
CPU_ONLY: Final = "HOUNDSIGHT_DEVICE"
_GPUS: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    # TF32 rounds what is multiplied to 10 bits: vectors would be others than a CPU's.
    ("CUDAExecutionProvider", {"use_tf32": "0"}),
    ("MIGraphXExecutionProvider", {}),
    ("ROCMExecutionProvider", {}),
    ("DmlExecutionProvider", {}),
)


# As `Runtime.device` has them.
GPUS: Final = frozenset(name.removesuffix("ExecutionProvider").lower() for name, _ in _GPUS)


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

    def single(self) -> Runtime:
        """Return what runs the same network on the calling thread alone.

        Of those as many can run at once as there are CPUs, and none waits for another. Where there
        is nothing to be gained by that, as on a GPU, it is the runtime itself.
        """
        ...


def gpu_provider() -> str | None:
    """Return the installed provider of ONNX Runtime that uses a GPU, unless CPU_ONLY forbids it."""
    import onnxruntime

    if os.environ.get(CPU_ONLY, "").strip().lower() == "cpu":
        return None
    there = onnxruntime.get_available_providers()
    return next((name for name, _ in _GPUS if name in there), None)


class OnnxRuntime:
    """Runs a graph with ONNX Runtime, on a GPU where one can be used, else on the CPU.

    Safe to use from several threads at once.

    Parameters
    ----------
    graph
        A serialized ONNX model with one input; or the path of one that was saved after
        optimisation, which is taken as it is.
    threads
        Threads of one run; ``None`` for `available_cpus`.
    save
        Where to write the graph as it is after optimisation, for this version of ONNX Runtime on
        this processor; its weights go into the file `WEIGHTS` beside it. Loaded from there they are
        mapped, not read: it takes no time, and all who load it share the memory.

    Raises
    ------
    ModelError
        ONNX Runtime cannot load the graph.
    """

    def __init__(
        self,
        graph: bytes | Path,
        *,
        threads: int | None = None,
        save: Path | None = None,
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        self._threads = available_cpus() if threads is None else threads
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # fatal: everything else arrives as an exception
        # Else bytes that look like ONNX Runtime's own format are read as that.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        gpu = None if isinstance(graph, Path) else gpu_provider()
        providers: list[Any] = [(gpu, dict(_GPUS)[gpu])] if gpu else []
        providers.append("CPUExecutionProvider")
        if save is not None:
            options.optimized_model_filepath = str(save)
            for name, value in (("file_name", WEIGHTS), ("min_size_in_bytes", "1024")):
                key = f"session.optimized_model_external_initializers_{name}"
                options.add_session_config_entry(key, value)
        if isinstance(graph, Path):
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            session = onnxruntime.InferenceSession(
                graph,
                sess_options=options,
                providers=providers,
                enable_fallback=int(gpu is not None),  # to the CPU, which it prints
            )
        # ONNX Runtime's exceptions have no base of their own.
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot load the graph: {_brief(error)}") from error
        try:
            inputs = session.get_inputs()
            names = [given.name for given in inputs]
            # As the graph has them: the shape has names or None where it is free.
            shapes = [tuple(given.shape) for given in inputs]
            self.outputs = tuple(output.name for output in session.get_outputs())
        except UnicodeDecodeError as error:
            raise ModelError("the graph has names that are no text") from error
        if len(inputs) != 1:
            raise ModelError(f"the graph has {len(inputs)} inputs, not one: {', '.join(names)}")
        self._session: Any = session
        self._alone = partial(OnnxRuntime, graph, threads=1)
        self._single: OnnxRuntime | None = None
        self._opening = threading.Lock()
        self._input: str = names[0]
        self.input_shape: tuple[Any, ...] = shapes[0]
        self.input_type = str(inputs[0].type)
        runs = session.get_providers()[0].removesuffix("ExecutionProvider")
        self.device = runs.lower()
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

    def single(self) -> OnnxRuntime:
        """Return what runs on the calling thread alone; see `Runtime.single`.

        Made when first asked for: it takes the memory of another network.
        """
        with self._opening:
            if self._single is None:
                single = self
                if self._threads > 1 and self.device not in GPUS:
                    # What was in the cache may be gone by now: then this one does too.
                    with contextlib.suppress(ModelError):
                        single = self._alone()
                self._single = single
            return self._single


def _brief(error: Exception) -> str:
    """Return the first line of a message that may have many."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
