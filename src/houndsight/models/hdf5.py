"""Reads weights that Keras wrote as HDF5, by h5py, which comes with the extra ``keras``.

The file has a group for each layer, named like it, and somewhere below that its variables, for
example ``conv1_conv/conv1_conv/kernel:0``. A saved model has all that in a group ``model_weights``.
Files come from strangers: links that lead elsewhere are not followed, and nothing is read that
would take more than a few times the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, Final

from houndsight.extras import library
from houndsight.models.pytorch import as_float32
from houndsight.models.unpickle import Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SIGNATURE", "h5py", "read_hdf5"]

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_MAX_DEPTH: Final = 8  # a group can hold itself
_MAX_GROWTH: Final = 8  # data may be compressed; that of real weights hardly is


def h5py() -> Any:
    """Return the module `h5py`.

    Raises
    ------
    InputError
        It is not installed.
    """
    return library("h5py", "keras", "the format of Keras's weights (.h5)")


def read_hdf5(file: IO[bytes], size: int) -> dict[str, NDArray[Any]]:
    """Read all variables, by ``<layer>.<variable>``, as they are stored.

    Parameters
    ----------
    file, size
        The file, and how many bytes it has.

    Raises
    ------
    Refused
        It is damaged, holds no arrays, or holds what weights do not.
    InputError
        h5py is not installed.
    """
    import numpy as np

    module = h5py()
    arrays: dict[str, NDArray[Any]] = {}
    left = _MAX_GROWTH * size
    try:
        with module.File(file, "r") as opened:
            found = list(_datasets(module, opened, (), set()))
            saved = [(path[1:], one) for path, one in found if path[0] == "model_weights"]
            for path, dataset in saved or found:
                if not path:
                    raise Refused("its model_weights are no group")
                name = f"{path[0]}.{path[-1].removesuffix(':0')}"
                if dataset.dtype.kind not in "fiu" or dataset.shape is None:
                    raise Refused(f"its {name[:100]!r} is no array of numbers")
                left -= max(dataset.nbytes, 4 * dataset.size)
                if left < 0:
                    raise Refused("it describes more data than it holds")
                if name in arrays:
                    raise Refused(f"it has {name[:100]!r} twice")
                values = np.asarray(dataset[()])
                arrays[name] = np.ascontiguousarray(as_float32(values, values.dtype.str))
                arrays[name] = arrays[name].reshape(dataset.shape)
    except Refused:
        raise
    # What h5py raises for damaged files; its OSError has no reason of the system's.
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        raise Refused("it is damaged") from error
    if not arrays:
        raise Refused("it holds no arrays")
    return arrays


def _datasets(
    module: Any, group: Any, above: tuple[str, ...], seen: set[int]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every dataset below a group with the names that lead to it.

    `seen` are the places of groups in the file. One that is there twice would be walked twice, and
    a few of those within each other for ever.
    """
    place = int(module.h5o.get_info(group.id).addr)
    if len(above) > _MAX_DEPTH or place in seen:
        raise Refused("its groups are nested without end")
    seen.add(place)
    for name in group:
        if not isinstance(group.get(name, getlink=True), module.HardLink):
            raise Refused(f"its {name[:100]!r} is a link")
        inner = group[name]
        path = (*above, name)
        if isinstance(inner, module.Group):
            yield from _datasets(module, inner, path, seen)
        elif inner.external or inner.is_virtual:
            raise Refused(f"its {name[:100]!r} lies in another file")
        else:
            yield path, inner
