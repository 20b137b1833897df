"""Shares of regions: that they add up to what they say, and lie where they should."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fakes import FAKE, FakeRuntime, draw, encoded, fake_embedder, write_photo
from houndsight import (
    Embedder,
    FingerprintMismatch,
    Gallery,
    ImageError,
    InputError,
    ModelError,
    distances,
    explain,
    index,
)
from houndsight.cropping import Crop, View
from houndsight.maps import Map, softmax

DIM = 12
SMALL = replace(FAKE, dim=DIM, input_size=96)


class Regions(FakeRuntime):
    """Of each block of 32 x 32 pixels the means of its quarters: `map` is (n, 12, h/32, w/32)."""

    outputs = ("vector", "map")

    def run(self, pixels, outputs):
        n, _, high, wide = pixels.shape
        quarters = pixels.reshape(n, 3, high // 32, 2, 16, wide // 32, 2, 16).mean(axis=(4, 7))
        found = quarters.transpose(0, 1, 3, 5, 2, 4).reshape(n, DIM, high // 32, wide // 32)
        made = {"map": found, "vector": found.mean(axis=(2, 3))}
        return [made[name].astype(np.float32) for name in outputs]


class WithoutMap(Regions):
    def run(self, pixels, outputs):
        if "map" in outputs:
            raise ModelError("the graph has no output 'map', only vector")
        return super().run(pixels, outputs)


class PoolsByMaximum(Regions):
    def run(self, pixels, outputs):
        (found,) = super().run(pixels, ["map"])
        made = {"map": found, "vector": found.max(axis=(2, 3))}
        return [made[name] for name in outputs]


def small_embedder(**settings):
    return fake_embedder(runtime=Regions(), model=SMALL, **settings)


@pytest.fixture(scope="module")
def lite():
    return {raw: Embedder.load("efficientnet-lite0", normalise=not raw) for raw in (False, True)}


@pytest.fixture
def made(photos, tmp_path):
    """A gallery over the fake with regions, its embedder, and a query."""
    embedder = small_embedder()
    write_photo(tmp_path / "query.jpg", 99)
    index(photos, tmp_path / "g", embedder=embedder)
    with Gallery(tmp_path / "g") as gallery:
        yield gallery, embedder, tmp_path / "query.jpg"


def learned(dim, blend, seed=3):
    rng = np.random.default_rng(seed)
    return Map(
        name="learned@1",
        centre=rng.normal(size=dim) / dim,
        projection=rng.normal(size=(dim, 5)),
        weights=rng.normal(size=(dim, 4)),
        bias=rng.normal(size=4),
        labels=("beagle", "collie", "pug", "husky"),
        temperature=0.7,
        blend=blend,
    )


def adds_up(explanation, query_total, item_total=None):
    item_total = query_total if item_total is None else item_total
    assert explanation.query_total == pytest.approx(query_total, abs=1e-5)
    assert explanation.item_total == pytest.approx(item_total, abs=1e-5)
    assert explanation.query_shares.sum() == pytest.approx(explanation.query_total, abs=1e-9)
    assert explanation.item_shares.sum() == pytest.approx(explanation.item_total, abs=1e-9)
    assert explanation.query_shares.dtype == np.float64


def cosine(a, b):
    a, b = np.asarray(a, float).ravel(), np.asarray(b, float).ravel()
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


@pytest.mark.parametrize("raw", [False, True])
def test_shares_of_the_real_network_add_up_to_the_cosine_similarity(lite, photos, tmp_path, raw):
    embedder = lite[raw]
    index(photos, tmp_path / "g", embedder=embedder)
    write_photo(tmp_path / "query.jpg", 99, size=(300, 200))
    query = embedder.embed(tmp_path / "query.jpg")
    with Gallery(tmp_path / "g") as gallery:
        for match in gallery.search(query, k=3)[0]:
            found = explain(gallery, embedder, tmp_path / "query.jpg", match.item)
            assert found.explained == "similarity"
            assert found.space == "base"
            assert found.label is None
            assert found.query_shares.shape == found.item_shares.shape == (7, 7)
            adds_up(found, cosine(query.values, gallery.vectors([match.item]).values))
            assert found.distance == match.distance


@pytest.mark.parametrize("raw", [False, True])
def test_regions_of_the_real_network_average_to_its_vectors(lite, photos, raw):
    paths = sorted(photos.glob("pug/*"))[:2]
    regions = lite[raw].regions(paths)
    assert regions.shape == (2, 1280, 7, 7)
    assert regions.dtype == np.float32
    vectors = lite[raw].embed(paths).values
    assert np.allclose(regions.mean(axis=(2, 3)), vectors, atol=1e-6 * np.abs(vectors).max())


def test_regions_of_one_photo_and_of_none(photos):
    embedder = small_embedder()
    one = embedder.regions(photos / "pug" / "pug-0.jpg")
    assert one.shape == (1, DIM, 3, 3)
    assert np.array_equal(one, embedder.regions([Image.open(photos / "pug" / "pug-0.jpg")]))
    assert embedder.regions([]).shape == (0, DIM, 3, 3)


def test_each_share_is_that_of_its_region(made):
    gallery, embedder, path = made
    item = gallery.items()[0]
    found = explain(gallery, embedder, path, item)
    (query,), (other,) = embedder.regions(path), embedder.regions(gallery.path_of(item))
    x, v = other.mean(axis=(1, 2)), query.mean(axis=(1, 2))
    for row in range(3):
        for column in range(3):
            assert found.query_shares[row, column] == pytest.approx(query[:, row, column] @ x / 9)
            assert found.item_shares[row, column] == pytest.approx(other[:, row, column] @ v / 9)


def test_what_the_photos_have_in_common_has_the_shares(tmp_path):
    """A red block, at two places, on grounds that have nothing in common with it or each other."""
    places = {"query": (2, 0), "item": (0, 1)}  # row, column
    for name, ground in (("query", (0, 255, 0)), ("item", (0, 0, 255))):
        row, column = places[name]
        picture = Image.new("RGB", (96, 96), ground)
        picture.paste((255, 0, 0), (32 * column, 32 * row, 32 * column + 32, 32 * row + 32))
        (tmp_path / name).mkdir()
        picture.save(tmp_path / name / "photo.png")
    index(tmp_path / "item", tmp_path / "g", embedder=small_embedder())
    with Gallery(tmp_path / "g") as gallery:
        (item,) = gallery.items()
        found = explain(gallery, small_embedder(), tmp_path / "query" / "photo.png", item)
    assert found.query_shares[places["query"]] == pytest.approx(found.query_total)
    assert found.item_shares[places["item"]] == pytest.approx(found.item_total)
    assert found.query_total > 0


def test_a_photo_and_itself_are_alike_by_all_there_is(made):
    gallery, embedder, _ = made
    item = gallery.items()[0]
    found = explain(gallery, embedder, gallery.path_of(item), item)
    adds_up(found, 1.0)
    assert found.distance == 0
    assert np.array_equal(found.query_shares, found.item_shares)


def test_black_photos_have_no_direction_and_nothing_to_explain(tmp_path):
    Image.new("RGB", (96, 96)).save(tmp_path / "query.png")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (96, 96)).save(tmp_path / "photos" / "black.png")
    index(tmp_path / "photos", tmp_path / "g", embedder=small_embedder())
    with Gallery(tmp_path / "g") as gallery:
        found = explain(gallery, small_embedder(), tmp_path / "query.png", gallery.items()[0])
    adds_up(found, 0.0)
    assert not found.query_shares.any()


# Metrics


def test_a_raw_gallery_has_the_same_shares_by_either_metric(photos, tmp_path):
    embedder = small_embedder(normalise=False)
    index(photos, tmp_path / "g", embedder=embedder)
    with Gallery(tmp_path / "g") as gallery:
        item, path = gallery.items()[1], photos / "pug" / "pug-0.jpg"
        paper, plain = (
            explain(gallery, embedder, path, item, metric=name) for name in ("paper", "plain")
        )
        query, stored = embedder.embed(path), gallery.vectors([item])
    assert (paper.space, plain.space) == ("base", "unit")
    adds_up(paper, cosine(query.values, stored.values))
    assert np.array_equal(paper.query_shares, plain.query_shares)
    assert paper.distance == distances(query, stored)[0, 0]
    assert plain.distance == pytest.approx(np.sqrt(2 - 2 * plain.query_total), abs=1e-6)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("blend", [0.0, 0.4])
def test_under_a_learned_map_shares_add_up_to_the_projections_similarity(
    lite, photos, tmp_path, blend, raw
):
    for embedder, dim in ((small_embedder(normalise=not raw), DIM), (lite[raw], 1280)):
        index(photos, tmp_path / f"g{dim}", embedder=embedder)
        path = photos / "pug" / "pug-0.jpg"
        with Gallery(tmp_path / f"g{dim}") as gallery:
            item, space = gallery.items()[1], learned(dim, blend)
            gallery.add_map(space, {}, None)
            found = explain(gallery, embedder, path, item)
            both = np.vstack([embedder.embed(path).values, gallery.vectors([item]).values])
            near = gallery.search(embedder.embed(path), k=12)[0]
        assert (found.explained, found.space, found.label) == (
            "projected similarity",
            "learned@1",
            None,
        )
        adds_up(found, cosine(*space.projected(both)))
        # Other vectors in the product move it in the last bit only.
        one = next(m.distance for m in near if m.item.id == item.id)
        assert found.distance == pytest.approx(one, abs=1e-12)


def test_where_only_posteriors_are_compared_the_score_of_the_shared_label_is_explained(
    lite, photos, tmp_path
):
    for embedder, dim in ((small_embedder(), DIM), (lite[False], 1280)):
        index(photos, tmp_path / f"g{dim}", embedder=embedder)
        path = photos / "pug" / "pug-0.jpg"
        with Gallery(tmp_path / f"g{dim}") as gallery:
            item, space = gallery.items()[1], learned(dim, 1.0)
            gallery.add_map(space, {}, None)
            found = explain(gallery, embedder, path, item)
            both = np.vstack([embedder.embed(path).values, gallery.vectors([item]).values])
        assert found.explained == "label score"
        scores = space.scores(both)
        shared = np.argmax(softmax(scores / space.temperature).prod(axis=0))
        assert found.label == space.labels[shared]
        adds_up(found, *scores[:, shared])


# What was seen


def test_squash_sees_the_whole_photo_and_crop_its_middle(photos, tmp_path):
    query = tmp_path / "wide.png"
    draw(5, (400, 200)).save(query)
    for rule, seen in (("squash", (0, 0, 1, 1)), ("crop", (0.28125, 0.0625, 0.71875, 0.9375))):
        embedder = small_embedder(resize=rule)
        index(photos, tmp_path / rule, embedder=embedder)
        with Gallery(tmp_path / rule) as gallery:
            found = explain(gallery, embedder, query, gallery.items()[0])
        assert found.query_seen == pytest.approx(seen, abs=0.005)


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (50, 50), (2000, 20)])
def test_what_is_seen_is_where_a_change_makes_a_difference(size):
    shape = small_embedder(resize="crop").preprocessing
    left, _, right, _ = shape.seen(*size)
    assert (left + right) / 2 == pytest.approx(size[0] / 2, abs=size[0] / 50)
    plain = shape(Image.new("RGB", size))
    y = size[1] // 2
    for x in np.linspace(0, size[0] - 4, 40).astype(int):
        image = Image.new("RGB", size)
        image.paste((255, 255, 255), (x, y - 2, x + 4, y + 2))
        changed = not np.array_equal(shape(image), plain)
        if x + 4 < left - 6 or x > right + 6:
            assert not changed
        if left + 2 < x < right - 6:
            assert changed


def test_a_part_of_the_query_is_explained_where_it_is(made, tmp_path):
    gallery, embedder, path = made
    view = View(Crop(50, 25, 50, 75, percent=True))
    item = gallery.items()[0]
    found = explain(gallery, embedder, path, item, view=view)
    assert found.query_seen == (0.5, 0.25, 1.0, 1.0)
    assert found.item_seen == (0, 0, 1, 1)
    part = Image.open(path).crop((24, 10, 48, 40))
    alone = explain(gallery, embedder, part, item)
    assert np.array_equal(found.query_shares, alone.query_shares)
    with pytest.raises(InputError, match="reaches beyond"):
        explain(gallery, embedder, path, item, view=View(Crop(0, 0, 500, 10)))


# Refusals


def test_a_missing_and_a_changed_photo_are_said(made, photos):
    gallery, embedder, path = made
    item = gallery.find(photos / "pug" / "pug-0.jpg")
    (photos / "pug" / "pug-0.jpg").write_bytes(encoded(draw(1000)))
    with pytest.raises(ImageError, match="is not the photo any more that was indexed") as error:
        explain(gallery, embedder, path, item)
    assert error.value.path == gallery.path_of(item)
    (photos / "pug" / "pug-0.jpg").unlink()
    with pytest.raises(ImageError, match=r"no such file.*houndsight relocate"):
        explain(gallery, embedder, path, item)
    with pytest.raises(ImageError, match="no such file"):
        explain(gallery, embedder, photos / "absent.jpg", gallery.items()[0])


def test_a_network_without_regions_is_refused_by_name(made):
    gallery, _, path = made
    item = gallery.items()[0]
    without = fake_embedder(runtime=WithoutMap(), model=SMALL)
    with pytest.raises(ModelError, match="no output 'map'"):
        explain(gallery, without, path, item)
    otherwise = fake_embedder(runtime=PoolsByMaximum(), model=SMALL)
    with pytest.raises(ModelError, match="not the average"):
        explain(gallery, otherwise, path, item)


def test_another_embedder_and_an_unknown_metric_are_refused(made):
    gallery, embedder, path = made
    item = gallery.items()[0]
    with pytest.raises(FingerprintMismatch):
        explain(gallery, small_embedder(normalise=False), path, item)
    with pytest.raises(InputError, match="no metric"):
        explain(gallery, embedder, path, item, metric="absent")
