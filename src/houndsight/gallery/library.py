"""The gallery: stored items with vectors, and the fingerprint of the embedder that made them.

The one way in and out of a store. Every reported distance is computed here from the vectors, for
every store: sqrt(sum((x - q)**2)).
"""

import contextlib
import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houndsight import images, search
from houndsight.embedder import Embedder
from houndsight.errors import (
    DamagedGallery,
    FingerprintMismatch,
    GalleryError,
    ImageError,
    InputError,
    ModelError,
    printable,
)
from houndsight.fingerprint import differences
from houndsight.gallery.by_hand import ByHand
from houndsight.gallery.documents import model_name, sound, understood
from houndsight.gallery.spaces import Spaces
from houndsight.gallery.underway import Watched
from houndsight.maps import Base, Space
from houndsight.remote import absolute
from houndsight.stores import Indexed, Store
from houndsight.stores.address import Place, located
from houndsight.stores.layout import make_below
from houndsight.stores.local import LocalStore
from houndsight.stores.opening import check_free, create_store, exists, open_store, side_folder
from houndsight.types import Item, Matches, Skipped, Vectors, Where

__all__ = ["COPYING", "Gallery"]

# The narrower graph of a gallery that has one.
NETWORK = "network.onnx"
# What the settings have beside all else while a gallery is copied: where it comes from.
COPYING = "copying"


class Gallery(ByHand, Spaces, Watched):
    """A gallery in a folder, or in Milvus.

    Parameters
    ----------
    place
        The gallery's folder, made by `create` or `houndsight index`; or its address, such as
        ``milvus://host:port/name`` or ``milvus-lite:PATH``.

    Raises
    ------
    GalleryError
        If there is no gallery, it is damaged, or a newer version made it.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        self.place = located(place)
        self.folder = side_folder(self.place)
        self.store: Store = self._open()
        try:
            self.settings = self._read_settings()
        except BaseException:
            self.store.close()
            raise
        self._check_whole()
        self._maps = {}
        self._kept = (-1, {})

    def _check_whole(self) -> None:
        """Raise GalleryError if copying into the gallery was begun and not finished."""
        if COPYING in self.settings:
            self.close()
            source = printable(self.settings[COPYING])
            raise GalleryError(
                f"is an unfinished copy of {source}",
                path=self.place,
                remedy="Run the same houndsight copy again: it goes on where it was",
            )

    def _open(self) -> Store:
        return open_store(self.place)

    def _read_settings(self) -> dict[str, Any]:
        with understood(self.place, "what made it"):
            settings: dict[str, Any] = self.document("settings")
            if not sound(settings) or settings["dim"] != self.store.dim:
                raise ValueError
        return settings

    @classmethod
    def create(cls, place: str | os.PathLike[str], embedder: Embedder) -> "Gallery":
        """Make an empty gallery in a new or empty folder for one embedder's vectors."""
        return cls.create_for(place, embedder.settings(), embedder.network)

    @classmethod
    def create_like(cls, place: str | os.PathLike[str], other: "Gallery") -> "Gallery":
        """Make an empty gallery in a new or empty folder for vectors such as another has."""
        narrow = "network" in other.settings["made_of"]
        return cls.create_for(place, other.settings, other._network() if narrow else None)

    @classmethod
    def create_for(
        cls, place: str | os.PathLike[str], settings: dict[str, Any], network: bytes | None = None
    ) -> "Gallery":
        """Make an empty gallery for vectors of which `settings` say what made them.

        They are `Embedder.settings`, or those of vectors made elsewhere, see `foreign`.
        """
        cls._make(place, settings, network)
        return cls(place)

    @staticmethod
    def _make(
        place: str | os.PathLike[str], settings: dict[str, Any], network: bytes | None
    ) -> None:
        documents = {"settings": settings, "roots": {}}
        create_store(located(place), settings["dim"], documents, {NETWORK: network})

    @staticmethod
    def check_free(place: str | os.PathLike[str]) -> None:
        """Raise NotAGallery if `create` would refuse a folder for what is in it."""
        check_free(located(place), (NETWORK,))

    @staticmethod
    def exists(place: str | os.PathLike[str]) -> bool:
        """Return whether there is a gallery at a place."""
        return exists(located(place))

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release files."""
        self.store.close()

    # What it holds

    @property
    def model(self) -> str:
        """The name of the model, or what stands for one that is not known here."""
        return model_name(self.settings)

    @property
    def foreign(self) -> str | None:
        """What made the vectors, where that is no embedder of houndsight's; else None."""
        name = self.settings.get("foreign")
        return None if name is None else str(name)

    @property
    def fingerprint(self) -> str:
        """What vectors must have to be compared with the gallery's."""
        return str(self.settings["fingerprint"])

    def __len__(self) -> int:
        return sum(self.store.labels().values())

    def items(self, ids: Collection[int] | None = None) -> list[Item]:
        """Return the items in the gallery, or those of them that are named; by id."""
        return [item for item in self.store.items(ids) if item.removed is None]

    def ids(self, where: Where | None = None) -> NDArray[np.int64]:
        """Return the ids of items, int64 (n,), in the order in which they came in."""
        return self.store.ids(where or Where())

    def labels(self) -> Counter[str]:
        """Return how many items have each label."""
        found = self.store.labels()
        return Counter({label: n for label, n in found.items() if label is not None})

    def skipped(self) -> list[Skipped]:
        """Return the files that indexing could not take in, with the reason for each."""
        places = self.places()
        with understood(self.place, "skipped files"):
            return [
                Skipped(os.path.join(places[int(root)], bytes.fromhex(path)), body["reason"])
                for (_, root, path), body in (
                    (name.split("/"), body)
                    for name, body in self.store.documents("skipped/").items()
                )
            ]

    def vectors(self, items: Sequence[Item]) -> Vectors:
        """Return the stored vectors of items, (n, dim)."""
        return Vectors(self.store.vectors([item.id for item in items]), self.fingerprint)

    def with_digest(self, digest: bytes) -> list[Item]:
        """Return the items whose photos have these bytes."""
        return [item for item in self.store.with_digests([digest]) if item.removed is None]

    def find(self, name: str | bytes) -> Item:
        """Return one item by its id (16 hex digits) or by its photo's path.

        A path may be absolute, relative to the working folder, or relative to its root.

        Raises
        ------
        InputError
            If there is no such item, or more than one.
        """
        path = os.fsencode(name)
        found: dict[int, Item] = {}
        with contextlib.suppress(ValueError):
            if len(path) == 16 and int(path, 16) < 1 << 63:
                found.update((item.id, item) for item in self.store.items([int(path, 16)]))
        full = absolute(path)
        for number, place in self.places().items():
            for candidate in {path, os.path.relpath(full, place)}:
                found.update((item.id, item) for item in self.store.at(number, [candidate]))
        live = [item for item in found.values() if item.removed is None]
        if len(live) != 1:
            raise self._not_one(path, live)
        return live[0]

    @staticmethod
    def _not_one(path: bytes, found: Sequence[Item]) -> InputError:
        """Return what to raise where a name is that of no item, or of several."""
        remedy = "Name it by its id or path, as houndsight search --json or export show them"
        if found:
            many = ", ".join(item.key for item in found)
            return InputError(f"names {len(found)} items: {many}", path=path, remedy=remedy)
        if os.path.isdir(path):
            return InputError("is a folder, not a photo in the gallery", path=path, remedy=remedy)
        if os.path.isfile(path):
            remedy += "; or take it in with houndsight add"
        return InputError("is not in the gallery", path=path, remedy=remedy)

    def thumbnail(self, item: Item) -> bytes | None:
        """Return a JPEG of at most 256 px; made again if it is gone, None if the photo is too."""
        thumbnail = self._thumbnail_path(item.digest)
        with contextlib.suppress(OSError):
            if thumbnail.is_file() and (kept := thumbnail.read_bytes()):  # empty: power failed
                return kept
        path = self.path_of(item)
        try:
            file = images.read(path)
            if file.digest != item.digest:  # another photo by now
                return None
            decoded = images.decode(file.data, path=path, at_least=512)
        except ImageError:
            return None
        picture = images.thumbnail(decoded.image)
        self.keep_thumbnail(item.digest, picture)
        return picture

    def _thumbnail_path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self.folder / "thumbnails" / name[:2] / f"{name}.jpg"

    def keep_thumbnail(self, digest: bytes, picture: bytes) -> None:
        """Keep the thumbnail of a photo of these bytes, a JPEG, where that can be written."""
        path = self._thumbnail_path(digest)
        # Rebuildable, so neither synced nor worth failing for; renamed, so never half there.
        with contextlib.suppress(OSError):
            draft = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
            try:
                draft.write_bytes(picture)
            except FileNotFoundError:  # the first of its folder
                if self.folder != self.place:  # in the cache, which may not be there yet
                    self.folder.mkdir(parents=True, exist_ok=True)
                elif not exists(self.place):  # its drive is away, and this is where it was mounted
                    return
                make_below(self.folder, path.parent)
                draft.write_bytes(picture)
            draft.replace(path)

    def keep_thumbnail_of(self, item: Item, other: "Gallery") -> None:
        """Copy the thumbnail that another gallery has of an item; OSError where it has none."""
        self.keep_thumbnail(item.digest, other._thumbnail_path(item.digest).read_bytes())

    def digests(self) -> set[bytes]:
        """Return the digests of all photos of which the vector is here, removed ones too."""
        every = {item.digest for item in self.store.items()}
        return {item.digest for item in self.store.with_digests(every)}

    # The way out

    def embedder(self, progress: Callable[[int, int], None] | None = None) -> Embedder:
        """Load the embedder that the gallery was made with.

        Parameters
        ----------
        progress
            Called with (bytes done, bytes in all) while weights are downloaded.

        Raises
        ------
        ModelError
            If its weights are no longer to be had, or the vectors were made elsewhere.
        FingerprintMismatch
            If this version makes other vectors than the gallery's.
        DamagedGallery
            If the network that it keeps is damaged or gone.
        """
        if self.foreign is not None:
            raise self.no_network()
        network = None
        if "network" in self.settings["made_of"]:
            network = self._network()
        with understood(self.place, "what made it"):
            return Embedder.reopen(self.settings, network=network, progress=progress)

    def no_network(self, photo: bytes | None = None) -> ModelError:
        """Return what to raise where a photo would need a network that is not known."""
        asked = "" if photo is None else f", and {printable(photo)} is no photo in it"
        return ModelError(
            f"its vectors were made elsewhere, by {printable(self.foreign or '')}, so no network "
            f"is known to compare other photos with them{asked}",
            path=self.place,
            remedy="Ask for photos that are in the gallery, by id or path, as houndsight export "
            "shows them; or index the photos into a new gallery",
        )

    def _network(self) -> bytes:
        """Read the network that the gallery keeps; DamagedGallery if it is another or gone."""
        path: Place = self.place / NETWORK if isinstance(self.place, Path) else self.place
        damage = "is not the network that the gallery was made with"
        try:
            network = self.store.file(NETWORK)
            if hashlib.sha256(network).hexdigest() == self.settings["made_of"]["network"]:
                return network
        except OSError as error:
            damage = f"cannot be read: {error.strerror}"
        raise DamagedGallery(
            damage,
            path=path,
            remedy="Restore it from a backup, or index the photos into a new gallery",
        )

    def local(self) -> LocalStore:
        """Return the store of a gallery that is a folder; InputError where it is none."""
        if not isinstance(self.store, LocalStore):
            raise InputError(
                "is in Milvus; this is for galleries in folders",
                path=self.place,
                remedy="houndsight copy makes a copy of it in a folder",
            )
        return self.store

    def indexed(self) -> Indexed:
        """Return the store of a gallery that can have an index; InputError where it cannot."""
        if not isinstance(self.store, Indexed):
            raise InputError(
                "is in a folder, where an approximate search needs no index: it measures by itself "
                "what it finds",
                path=self.place,
                remedy="Search with --approximate; houndsight copy takes a gallery to Milvus",
            )
        return self.store

    def check(self, embedder: Embedder) -> None:
        """Raise FingerprintMismatch unless an embedder's vectors fit the gallery's."""
        if embedder.fingerprint != self.fingerprint:
            raise FingerprintMismatch(
                "was made with other settings: "
                + differences(self.settings["made_of"], embedder.made_of),
                path=self.place,
                remedy="Leave the settings out to use the gallery's own, or make a new gallery",
            )

    def search(
        self,
        queries: Vectors,
        k: int = 20,
        *,
        where: Where | None = None,
        exclude: Sequence[Collection[int]] | None = None,
        max_distance: float = float("inf"),
        metric: str | None = None,
        looked_at: int | None = None,
    ) -> Matches:
        """Return the k nearest items of each query by Euclidean distance: exact, ties by id.

        Neighbours, and what is told of them, are of one moment, whoever writes meanwhile.

        Parameters
        ----------
        queries
            Vectors (n, dim) with the gallery's fingerprint.
        k
            How many neighbours, 1 or more; fewer are returned where there are fewer.
        where
            Which items may be returned.
        exclude
            For each query, ids that are not to be returned to it.
        max_distance
            Neighbours farther than this are left out.
        metric
            The space that distances are taken in: ``paper``, ``plain`` or a learned map's name;
            the gallery's own when None.
        looked_at
            Look at only so many vectors in full, 1 or more: quicker in a large gallery, and some
            neighbours may be missing; how many, `houndsight.measured_recall` says. In Milvus it is
            what the search of the index is told, see `houndsight.tune`. Exact when None.

        Returns
        -------
        Matches
            ids int64 (n, k') and distances float64 (n, k'), k' at most k.

        Raises
        ------
        FingerprintMismatch
            If the queries come from another embedder.
        InputError
            If k is below 1, the queries are no finite vectors (n, dim), or there is no such metric.
        """
        self._check_asked(queries, k, looked_at, exclude)
        out = exclude if exclude is not None else [()] * len(queries)
        spare = max(map(len, out), default=0)

        def answer() -> Matches:
            name = self.named(metric)
            space = self.space(name)
            asked = space(queries.values)
            found = self.store.candidates(asked, k + spare, where or Where(), space, looked_at)
            nearest: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
            for query, (ids, vectors), left_out in zip(queries.values, found, out, strict=True):
                if left_out:
                    kept = ~np.isin(ids, list(left_out))
                    ids, vectors = ids[kept], vectors[kept]
                distance = _distances(space, query, vectors)
                near = distance <= max_distance
                nearest.append(search.nearest(distance[near], ids[near], k))
            ids, distances = _filled(nearest)
            shown = {item.id: item for item in self.store.items({*ids[ids >= 0].tolist()})}
            calibration = self.calibration(name)
            chances = None if calibration is None else calibration.neighbours(distances)
            return Matches(ids, distances, shown, chances)

        return self.store.at_one_moment(answer)

    def _check_asked(
        self,
        queries: Vectors,
        k: int,
        looked_at: int | None,
        exclude: Sequence[Collection[int]] | None,
    ) -> None:
        """Raise what `search` says unless this can be asked of the gallery."""
        if not isinstance(queries, Vectors):
            raise InputError(
                f"queries are {type(queries).__name__}, not Vectors",
                remedy="Take what Embedder.embed or Gallery.vectors returns",
            )
        if queries.fingerprint != self.fingerprint:
            raise FingerprintMismatch(
                "the query was embedded with another model or other settings than the gallery",
                path=self.place,
                remedy="Embed it with gallery.embedder()",
            )
        if k < 1 or (looked_at is not None and looked_at < 1):
            what, n = ("k", k) if k < 1 else ("looked_at", looked_at)
            raise InputError(f"{what} is {n}", remedy="Ask for 1 or more")
        shape = np.shape(queries.values)
        if len(shape) != 2 or shape[1] != self.settings["dim"]:
            raise InputError(f"queries are {shape}, not (n, {self.settings['dim']})")
        if not np.isfinite(queries.values).all():
            raise InputError("a query holds a value that is not finite")
        if exclude is not None and len(exclude) != len(queries):
            raise InputError(f"{len(exclude)} sets to exclude for {len(queries)} queries")

    def distances(
        self, query: Vectors, items: Sequence[Item], *, metric: str | None = None
    ) -> NDArray[np.float64]:
        """Return how far one query (1, dim) is from items, float64 (n,), as `search` would say."""
        vectors = self.store.vectors([item.id for item in items])
        return _distances(self.space(metric), query.values[0], vectors)

    # Upkeep

    def record(self, name: str, body: Any) -> None:
        """Put a document on record that can be made again; not where nothing may be written."""
        with contextlib.suppress(GalleryError), self.store.transaction():
            self.store.put_document(name, body)

    def verify(self) -> list[str]:
        """Return what is damaged, one sentence each; nothing when all is well."""
        damage = self.store.verify()
        if "network" in self.settings["made_of"]:
            try:
                self._network()
            except DamagedGallery as error:
                damage.append(f"{NETWORK}: {error.cause}")
        return damage or list(self._damaged_photos())

    def compact(self) -> int:
        """Give back the room of what was removed or superseded; returns bytes gained.

        That is vectors, and copies of photos that were added by hand. Removals before it can no
        longer be undone.
        """
        gained = self.store.compact()
        self._make_final()
        gained += self._delete_photos()
        self.tidy()
        return gained

    def tidy(self) -> None:
        """Bring up to date what makes searches quick, in the metric in use and as stored.

        `index`, `learn` and `compact` do it; to be called after many photos came in otherwise.
        Answers do not depend on it.
        """
        for metric in dict.fromkeys((self.metric, self.stored_metric)):
            self.store.tidy(self.space(metric))

    @contextlib.contextmanager
    def appending(self) -> Iterator[None]:
        """Hold the right to add photos; GalleryBusy if another process holds it."""
        with self.store.appending():
            yield


def _filled(
    nearest: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return ids and distances as matrices, -1 and inf where a query has fewer than another."""
    width = max((len(ids) for ids, _ in nearest), default=0)
    ids = np.full((len(nearest), width), -1, np.int64)
    distances = np.full((len(nearest), width), np.inf)
    for n, (some_ids, some_distances) in enumerate(nearest):
        ids[n, : len(some_ids)] = some_ids
        distances[n, : len(some_ids)] = some_distances
    return ids, distances


def _distances(
    space: Space, query: NDArray[np.float32], vectors: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the distances of stored vectors (n, dim) to one query (dim,) in a space: (n,)."""
    if isinstance(space, Base):
        return search.distances_to(query, vectors)
    # Equal vectors are put through the map once: a matrix product may give them images that differ
    # in the last bit, and identical photos are at distance 0, and tie.
    first: dict[bytes, int] = {}
    rows = [query, *vectors]
    place = [first.setdefault(row.tobytes(), len(first)) for row in rows]
    kept = [place.index(n) for n in range(len(first))]
    images = space.exact(np.stack([rows[n] for n in kept]))
    return search.distances_to(images[0], images)[place[1:]]
