"""Ways out of a gallery into files of other programs, and back in."""

from houndsight.exchange.exporting import FORMATS, export

__all__ = ["FORMATS", "export"]
