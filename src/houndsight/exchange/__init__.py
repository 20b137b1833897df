"""Ways out of a gallery into files of other programs, and back in."""

from houndsight.exchange.exporting import FORMATS, export
from houndsight.exchange.importing import Imported, import_vectors, planned_import

__all__ = ["FORMATS", "Imported", "export", "import_vectors", "planned_import"]
