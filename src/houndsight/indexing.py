"""From a folder of photos to a gallery: only what is new or changed is embedded."""

import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol

from houndsight import images, remote
from houndsight.embedder import Embedder
from houndsight.errors import ImageError, InputError, printable
from houndsight.gallery import Gallery, Root, find_photos, inside
from houndsight.labels import labeller
from houndsight.listing import Listing
from houndsight.reading import Reader
from houndsight.taking import Batches, Taking, Terms
from houndsight.types import Found, Item, Skipped

__all__ = ["HERE", "Engine", "Here", "IndexReport", "Progress", "index"]

# Photos after which what makes searches quick is brought up to date.
TIDY = 4096
_KINDS = ("new", "changed", "renamed", "unchanged", "left out", "skipped")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far indexing is: photos committed or skipped, photos to do, seconds since the start."""

    done: int
    total: int
    seconds: float


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What a run of `index` found and did.

    Attributes
    ----------
    new, changed, renamed, unchanged, removed
        Photos: taken in; embedded again as their bytes changed; found under another path; found as
        they were; no longer there, so taken out.
    relabelled
        Items whose label changed though their file did not.
    left_out
        Photos that stay out because they were removed by hand.
    embedded
        Photos that went through the network; those equal to one in the gallery do not.
    skipped
        Files that are not in the gallery, with the reason, those of earlier runs included.
    passed_over
        How many other files there were, by extension.
    seconds
        Time taken, once the gallery was open and, where it is new, its network loaded.
    """

    new: int
    changed: int
    renamed: int
    unchanged: int
    removed: int
    relabelled: int
    left_out: int
    embedded: int
    skipped: list[Skipped]
    passed_over: Counter[str]
    seconds: float


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done with a listing.

    Of `work` the first `fresh` files are at paths that were not known; `after` are files that take
    the place of bytes which one of these may have, to be taken in when those are.
    `touched` are size and time of files that have an item's bytes but another time; `gone`
    are live items whose files are not there, `loose` path and digest of all items whose photo may
    be found under another path: those, those with other bytes, and those of the user's removals
    that are gone.
    """

    work: list[Found]
    fresh: int
    after: list[Found]
    unchanged: list[Item]
    touched: dict[int, tuple[int, int]]
    gone: list[Item]
    loose: dict[int, tuple[bytes, bytes]]
    left_out: int
    still_skipped: set[bytes]


class Engine(Protocol):
    """What finds, reads and embeds files: this process, or others."""

    def find(self, place: bytes) -> Listing:
        """Return what `find_photos` does."""
        ...

    def taken(
        self, embedder: Embedder, reader: Reader, work: list[Found], taking: Taking
    ) -> Generator[Counter[str]]:
        """Read, embed and take in files, in any order; yields what was done, as `Taking` does."""
        ...


class Here:
    """Finds, reads and embeds files on threads of this process."""

    def find(self, place: bytes) -> Listing:
        """Return what `find_photos` does."""
        return find_photos(place)

    def stream(self, embedder: Embedder, reader: Reader, work: list[Found]) -> Batches:
        """Read and embed files, in order."""
        with closing(reader.sources(work)) as sources:
            yield from embedder.stream(sources, reader)

    def taken(
        self, embedder: Embedder, reader: Reader, work: list[Found], taking: Taking
    ) -> Generator[Counter[str]]:
        """Read and embed files, and take in batch by batch, in order."""
        return taking.all_of(self.stream(embedder, reader, work))


HERE = Here()


def index(
    photos: str | bytes | os.PathLike[str],
    gallery: str | os.PathLike[str] | Gallery,
    *,
    embedder: Embedder | Callable[[], Embedder] | None = None,
    labels: str | None = None,
    restore: bool = False,
    progress: Callable[[Progress], None] | None = None,
    engine: Engine = HERE,
) -> IndexReport:
    """Bring a gallery up to date with a folder of photos.

    Stopped at any moment it goes on where it was: a batch is in the gallery whole or not at all.

    Parameters
    ----------
    photos
        The folder, a .zip or .tar file, or an address such as ``s3://bucket/dogs``. Folders in it
        and links are followed. Hidden files, files without a photo's extension, and galleries are
        passed over.
    gallery
        The gallery's folder, made if there is none; or a gallery that is open.
    embedder
        The embedder, or what loads it when it is needed; the gallery's own (for a new gallery the
        default model) when None. Nothing is made before it is loaded.
    labels
        ``folder``, ``none``, or the path of a CSV file (path, label); what the folder was indexed
        with before, else ``folder``, when None.
    restore
        Take in again what was removed by hand.
    progress
        Called after each commit.
    engine
        What finds, reads and embeds: threads of this process, or a `houndsight.cluster.RayCluster`.

    Raises
    ------
    InputError
        If the folder is absent, a gallery, or holds no photo, or labels cannot be read.
    GalleryBusy
        If another process is adding photos.
    FingerprintMismatch
        If the embedder is not the gallery's.
    """
    place = remote.absolute(photos)
    # The same folder by another name (a link) is the same root, under the name it has there.
    new = not isinstance(gallery, Gallery) and not Gallery.exists(gallery)
    if isinstance(gallery, Gallery):
        place = gallery.known_place(place)
    elif not new:
        with Gallery(gallery) as there:
            place = there.known_place(place)
    listing = engine.find(place)
    if not listing.photos:
        others, unreadable = sum(listing.passed_over.values()), len(listing.skipped)
        why = ""
        for first in listing.skipped[:1]:
            why = f"; {printable(os.path.relpath(first.path, place))} {first.reason}"
        raise InputError(
            f"holds no photo ({others:,} other files, {unreadable:,} unreadable{why})",
            path=place,
            remedy="Photos end in .jpg, .png, .webp, .gif, .tif, .bmp, .avif, .heic or like camera "
            "RAW (.dng, .nef, .cr3 and others); is a drive away?",
        )
    if labels not in (None, "folder", "none"):
        labels = os.path.abspath(labels)
    # A CSV file is judged before anything is made.
    label_of, source = labeller(labels or "none", place)
    if source == "csv" and not any(label_of(found.path) for found in listing.photos):
        raise InputError(
            "names none of the photos in the folder",
            path=labels,
            remedy=f"Give paths relative to {printable(place)}",
        )
    with _opened(gallery, embedder, new=new) as (library, load), library.appending():
        started = time.monotonic()
        root = library.root(place, labels)
        label_of, source = labeller(root.labels, root.place)
        listing = _without_other_roots(listing, library, root)
        plan = _plan(library, root, listing, restore=restore)
        relabelled = library.set_labels(
            {item.id: label_of(item.path) for item in plan.unchanged}, source=source or "none"
        ).count
        library.forget_skipped(root, keep=plan.still_skipped, unseen=listing.unseen)
        library.add(root, listing.skipped)
        library.touch(plan.touched)
        counts: Counter[str] = Counter()
        total = len(plan.work) + len(plan.after)
        with library.told_indexing(total) as run:
            if total:
                made = load()
                reader = Reader(root.place, made.preprocessing, library.digests())
                tidied = 0
                terms = Terms(run, root, plan.fresh, plan.loose, restore, label_of, source)
                for done in _taken(engine, made, reader, plan, Taking(library, terms)):
                    counts += done
                    if counts["embedded"] - tidied >= TIDY:
                        library.tidy()
                        tidied = counts["embedded"]
                    if progress is not None:
                        committed = sum(counts[kind] for kind in _KINDS)
                        progress(Progress(committed, total, time.monotonic() - started))
            # What was found under another path meanwhile is no more as it was.
            gone = [
                item.id
                for item in library.items({item.id for item in plan.gone})
                if (item.path, item.digest) == plan.loose[item.id]
            ]
            removed = library.remove([*gone, *_spoilt(library, root)], by="index").count
            library.tidy()
        return IndexReport(
            new=counts["new"],
            changed=counts["changed"],
            renamed=counts["renamed"],
            unchanged=len(plan.unchanged) + counts["unchanged"],
            removed=removed,
            relabelled=relabelled,
            left_out=plan.left_out + counts["left out"],
            embedded=counts["embedded"],
            skipped=[
                skip for skip in library.skipped() if skip.path.startswith(os.path.join(place, b""))
            ],
            passed_over=listing.passed_over,
            seconds=time.monotonic() - started,
        )


@contextmanager
def _opened(
    place: str | os.PathLike[str] | Gallery,
    embedder: Embedder | Callable[[], Embedder] | None,
    *,
    new: bool,
) -> Iterator[tuple[Gallery, Callable[[], Embedder]]]:
    """Open the gallery, or make it once its embedder is loaded; also return what loads that.

    One that was there a moment ago is never made anew: its drive may have gone.
    """

    def given() -> Embedder:
        return embedder if isinstance(embedder, Embedder) else (embedder or Embedder.load)()

    if new and not isinstance(place, Gallery):
        Gallery.check_free(place)  # before what may take minutes
        made = given()
        with Gallery.create(place, made) as gallery:
            yield gallery, lambda: made
        return
    with nullcontext(place) if isinstance(place, Gallery) else Gallery(place) as gallery:
        if embedder is None:
            yield gallery, gallery.embedder
        else:
            made = given()
            gallery.check(made)
            yield gallery, lambda: made


def _without_other_roots(listing: Listing, gallery: Gallery, root: Root) -> Listing:
    """Leave out folders that are roots of their own: their photos are in the gallery already."""
    others = tuple(
        os.path.join(os.path.relpath(other.place, root.place), b"")
        for other in gallery.roots()
        if other.number != root.number and inside(other.place, root.place)
    )
    kept = [found for found in listing.photos if not found.path.startswith(others)]
    passed = listing.passed_over + Counter(
        {"in another indexed folder": len(listing.photos) - len(kept)}
    )
    return replace(listing, photos=kept, passed_over=passed)


def _taken(
    engine: Engine, embedder: Embedder, reader: Reader, plan: _Plan, taking: Taking
) -> Generator[Counter[str]]:
    """Read, embed and take in what is to be; yields what was done."""
    yield from engine.taken(embedder, reader, plan.work, taking)
    if plan.after:
        late = replace(taking, terms=replace(taking.terms, fresh=0))
        yield from engine.taken(embedder, reader, plan.after, late)


def _plan(gallery: Gallery, root: Root, listing: Listing, *, restore: bool) -> _Plan:
    """Tell what is new, changed or gone; only files whose size or time is new are read."""
    items = [item for item in gallery.store.items() if item.root == root.number]
    by_path = {item.path: item for item in items if item.removed == "user" and not restore}
    by_path |= {item.path: item for item in items if item.removed is None}
    remembered = gallery.unchanged_skips(root)
    plan = _Plan([], 0, [], [], {}, [], {}, 0, set())
    left_out = 0
    changed: list[tuple[bytes | None, Found]] = []
    for found in listing.photos:
        now = (found.size, found.mtime_ns)
        item = by_path.get(found.path)
        if remembered.get(found.path) == now:
            plan.still_skipped.add(found.path)
        elif item is None:
            plan.work.append(found)
        else:
            same = (item.size, item.mtime_ns) == now
            digest = item.digest if same else _digest(os.path.join(root.place, found.path))
            if digest != item.digest:
                changed.append((digest, found))
                if digest is not None:
                    plan.loose[item.id] = (item.path, item.digest)
            elif item.removed is None:
                plan.unchanged.append(item)
            else:
                left_out += 1
            if not same and digest == item.digest and found.size >= 0:
                plan.touched[item.id] = now
    there = {found.path for found in listing.photos}
    # What cannot be read now may be there all the same: only what was seen to be gone is gone.
    there |= {os.path.relpath(skip.path, root.place) for skip in listing.skipped}
    unseen = tuple(os.path.join(folder, b"") for folder in listing.unseen)
    for path, item in by_path.items():
        if path not in there and not path.startswith(unseen):
            plan.loose[item.id] = (item.path, item.digest)
            if item.removed is None:
                plan.gone.append(item)
    # A disk with a head reads quicker when it need not go to and fro.
    plan.work.sort(key=lambda found: found.position)
    fresh = len(plan.work)
    # What another item has left takes nothing away; other bytes take the place of an item's own,
    # for which it may be known under another path.
    left = Counter(i.digest for i in items if i.id in plan.loose or i.removed == "index")
    others = []
    for digest, found in changed:
        if digest is not None and left[digest] > 0:
            left[digest] -= 1
            plan.work.append(found)
        else:
            others.append(found)
    sizes = {found.size for found in plan.work}
    for found in others:
        needed = by_path[found.path].size in sizes or -1 in sizes  # where sizes are not known
        (plan.after if needed else plan.work).append(found)
    return replace(plan, fresh=fresh, left_out=left_out)


def _digest(path: bytes) -> bytes | None:
    """Return the digest of a photo's bytes, None if it cannot be read."""
    try:
        return images.read(path).digest
    except ImageError:
        return None


def _spoilt(gallery: Gallery, root: Root) -> list[int]:
    """Return the live items whose files were read, but are no photos any more."""
    paths = list(gallery.unchanged_skips(root))
    return [item.id for item in gallery.store.at(root.number, paths) if item.removed is None]
