"""houndsight finds the images that look alike.

    from houndsight import Gallery, index

    index("photos", "gallery")                        # new and changed photos only
    with Gallery("gallery") as gallery:
        embedder = gallery.embedder()
        for match in gallery.search(embedder.embed("query.jpg"), k=5)[0]:
            print(match.rank, match.item.label, match.distance)

Names are loaded when they are first used, so that importing houndsight takes next to no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from houndsight.adding import Added as Added
    from houndsight.adding import add_photo as add_photo
    from houndsight.approximation import Recall as Recall
    from houndsight.approximation import measured_recall as measured_recall
    from houndsight.cluster import RayCluster as RayCluster
    from houndsight.combining import search_combined as search_combined
    from houndsight.copying import Copied as Copied
    from houndsight.copying import copy_gallery as copy_gallery
    from houndsight.cropping import Crop as Crop
    from houndsight.cropping import View as View
    from houndsight.curation import DuplicateGroup as DuplicateGroup
    from houndsight.curation import DuplicateReport as DuplicateReport
    from houndsight.curation import duplicates as duplicates
    from houndsight.doubting import Outlier as Outlier
    from houndsight.doubting import outliers as outliers
    from houndsight.embedder import Embedder as Embedder
    from houndsight.errors import CheckpointError as CheckpointError
    from houndsight.errors import ClusterError as ClusterError
    from houndsight.errors import DamagedGallery as DamagedGallery
    from houndsight.errors import FingerprintMismatch as FingerprintMismatch
    from houndsight.errors import GalleryBusy as GalleryBusy
    from houndsight.errors import GalleryError as GalleryError
    from houndsight.errors import HoundsightError as HoundsightError
    from houndsight.errors import ImageError as ImageError
    from houndsight.errors import InputError as InputError
    from houndsight.errors import ModelError as ModelError
    from houndsight.errors import NewerFormat as NewerFormat
    from houndsight.errors import NotAGallery as NotAGallery
    from houndsight.errors import WeightsUnavailable as WeightsUnavailable
    from houndsight.evaluation import Comparison as Comparison
    from houndsight.evaluation import Report as Report
    from houndsight.evaluation import compare as compare
    from houndsight.evaluation import evaluate as evaluate
    from houndsight.exchange import Imported as Imported
    from houndsight.exchange import export as export
    from houndsight.exchange import import_vectors as import_vectors
    from houndsight.explaining import Explanation as Explanation
    from houndsight.explaining import explain as explain
    from houndsight.gallery import Change as Change
    from houndsight.gallery import Gallery as Gallery
    from houndsight.gallery import Rehearsal as Rehearsal
    from houndsight.gallery import backup as backup
    from houndsight.indexing import IndexReport as IndexReport
    from houndsight.indexing import Progress as Progress
    from houndsight.indexing import index as index
    from houndsight.joining import Merge as Merge
    from houndsight.joining import merge as merge
    from houndsight.learning import LearnReport as LearnReport
    from houndsight.learning import calibrate as calibrate
    from houndsight.learning import learn as learn
    from houndsight.metrics import Estimate as Estimate
    from houndsight.models.spec import CATALOGUE as CATALOGUE
    from houndsight.models.spec import ModelSpec as ModelSpec
    from houndsight.overview import Summary as Summary
    from houndsight.overview import galleries as galleries
    from houndsight.parting import part_by_fraction as part_by_fraction
    from houndsight.parting import part_by_labels as part_by_labels
    from houndsight.parting import split as split
    from houndsight.precision import PrecisionReport as PrecisionReport
    from houndsight.precision import narrowed as narrowed
    from houndsight.queries import Query as Query
    from houndsight.queries import read_queries as read_queries
    from houndsight.repairing import Examination as Examination
    from houndsight.repairing import Repair as Repair
    from houndsight.repairing import examine as examine
    from houndsight.repairing import repair as repair
    from houndsight.search import distances as distances
    from houndsight.tuning import Tuning as Tuning
    from houndsight.tuning import drop_index as drop_index
    from houndsight.tuning import tune as tune
    from houndsight.types import Item as Item
    from houndsight.types import Match as Match
    from houndsight.types import Matches as Matches
    from houndsight.types import Skipped as Skipped
    from houndsight.types import Vectors as Vectors
    from houndsight.types import Where as Where
    from houndsight.voting import Vote as Vote
    from houndsight.voting import classify as classify
    from houndsight.voting import classify_queries as classify_queries
    from houndsight.watching import watch as watch

_HOMES = {
    "voting": "Vote classify classify_queries",
    "adding": "Added add_photo",
    "approximation": "Recall measured_recall",
    "cluster": "RayCluster",
    "combining": "search_combined",
    "copying": "Copied copy_gallery",
    "cropping": "Crop View",
    "curation": "DuplicateGroup DuplicateReport duplicates",
    "doubting": "Outlier outliers",
    "embedder": "Embedder",
    "errors": "CheckpointError ClusterError DamagedGallery FingerprintMismatch GalleryBusy "
    "GalleryError HoundsightError ImageError InputError ModelError NewerFormat NotAGallery "
    "WeightsUnavailable",
    "evaluation": "Comparison Report compare evaluate",
    "exchange": "Imported export import_vectors",
    "explaining": "Explanation explain",
    "gallery": "Change Gallery Rehearsal backup",
    "indexing": "IndexReport Progress index",
    "joining": "Merge merge",
    "learning": "LearnReport calibrate learn",
    "metrics": "Estimate",
    "models.spec": "CATALOGUE ModelSpec",
    "overview": "Summary galleries",
    "parting": "part_by_fraction part_by_labels split",
    "precision": "PrecisionReport narrowed",
    "queries": "Query read_queries",
    "repairing": "Examination Repair examine repair",
    "search": "distances",
    "tuning": "Tuning drop_index tune",
    "watching": "watch",
    "types": "Item Match Matches Skipped Vectors Where",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("houndsight")
    except PackageNotFoundError:  # run from a source tree that was not installed
        return "0"


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOME:
        raise AttributeError(f"module 'houndsight' has no attribute {name!r}")
    return getattr(import_module(f"houndsight.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
