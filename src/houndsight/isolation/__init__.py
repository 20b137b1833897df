"""Photos decoded in processes of their own: what ends one of these costs one photo.

Decoders are native code and photos come from anywhere. A process has a limit of memory and, for
each photo, of time. It is no sandbox: it has the rights of whoever runs houndsight.
"""

from houndsight.isolation.workers import Limits, Workers

__all__ = ["Limits", "Workers"]
