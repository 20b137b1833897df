"""What is said of a network in JSON: its own file's schema, and transformers' configurations."""

import json

import pytest

from houndsight.errors import InputError
from houndsight.models.description import Description, described
from houndsight.models.preprocessor_config import CONFIG
from processors import CLIP, CONVNEXT, DINO, DINO3, IMAGENET, SIGLIP, VIT


@pytest.fixture
def net(tmp_path):
    return tmp_path / "models" / "net.onnx"


def say(net, value, name=CONFIG):
    net.parent.mkdir(exist_ok=True)
    path = net.parent / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


# ---------------------------------------------------------------- the network's own file


def test_the_least_that_can_be_said(net):
    path = say(net, IMAGENET, "net.json")
    assert described(net, {}) == Description(tuple(IMAGENET["mean"]), tuple(IMAGENET["std"]))
    path.unlink()
    assert described(net, IMAGENET) == Description(
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1 / 255, None, "squash", None, "bicubic"
    )


def test_everything_that_can_be_said(net):
    said = {
        **IMAGENET,
        "scale": 1,
        "size": 64,
        "resize": "crop",
        "shorter": 72,
        "resample": "lanczos",
        "channels": "BGR",
        "layer": "last_hidden_state",
        "pooling": "cls",
    }
    say(net, said, "net.json")
    found = described(net, {})
    made = {name: getattr(found, name) for name in said}
    assert made == {**said, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"sise": 224}, r"says 'sise', which is not known\. It may say mean, std, scale, size"),
        ({"mean": 0.5}, r"'mean' is 0\.5, not three numbers"),
        ({"mean": [0.5, 0.5]}, r"'mean' is \[0\.5, 0\.5\], not three numbers"),
        ({"mean": [0.5, 0.5, "x"]}, "not three numbers"),
        ({"mean": [0.5, 0.5, True]}, "not three numbers"),
        ({"std": [0.5, 0, 0.5]}, "'std' is .*, not three numbers above 0"),
        ({"std": [0.5, -1, 0.5]}, "not three numbers above 0"),
        ({"scale": 0}, "'scale' is 0, not a number above 0"),
        ({"scale": "1/255"}, "not a number above 0"),
        ({"size": 224.0}, r"'size' is 224\.0, not a whole number of pixels"),
        ({"size": True}, "'size' is true, not a whole number"),
        ({"size": [224, 224]}, "not a whole number"),
        ({"resize": "stretch"}, "'resize' is \"stretch\", not one of squash, crop"),
        ({"resize": 1}, "not one of squash, crop"),
        ({"resample": "cubic"}, "not one of bicubic, bilinear, lanczos"),
        ({"channels": "rgb"}, "not one of RGB, BGR"),
        ({"layer": ""}, "'layer' is \"\", not the name of an output"),
        ({"pooling": "max"}, "not one of cls, mean"),
        ({"shorter": 256}, "'shorter' is only of use where 'resize' is 'crop'"),
        ({"size": None}, "'size' is null"),
    ],
)
def test_what_is_wrong_in_it_is_told_by_name(net, change, trouble):
    path = say(net, {**IMAGENET, **change}, "net.json")
    with pytest.raises(InputError, match=trouble) as error:
        described(net, {})
    assert error.value.path == path
    assert error.value.remedy


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("", "is no JSON"),
        ('{"mean": ', "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1, 2]", "is JSON, but no object"),
        ('{"mean": [NaN, 0, 0]}', "not three numbers"),
        ('{"mean": [1e999, 0, 0]}', "not three numbers"),
        ("{}", "nothing says which mean and std the network takes"),
        ('{"mean": [0, 0, 0]}', "nothing says which std the network takes"),
    ],
)
def test_what_is_no_such_file_is_told(net, text, trouble):
    path = say(net, text, "net.json")
    with pytest.raises(InputError, match=trouble) as error:
        described(net, {})
    assert error.value.path == path


def test_where_nothing_is_said_the_remedy_shows_what_to_write(net):
    net.parent.mkdir()
    with pytest.raises(InputError, match="nothing says which mean and std") as error:
        described(net, {})
    assert error.value.path == net
    example = error.value.remedy[error.value.remedy.index("{") : error.value.remedy.index("}") + 1]
    assert described(net, json.loads(example)).size == 224
    assert "--mean" in error.value.remedy


def test_what_is_given_is_blamed_on_nobody_s_file(net):
    say(net, IMAGENET, "net.json")
    with pytest.raises(InputError, match="'std' is") as error:
        described(net, {"std": [0, 0, 0]})
    assert error.value.path is None


# ---------------------------------------------------------------- transformers'


@pytest.mark.parametrize(
    ("config", "size", "resize", "shorter"),
    [
        (DINO, 224, "crop", 256),
        (CLIP, 224, "crop", 224),
        (SIGLIP, 224, "squash", None),
        (CONVNEXT, 224, "crop", 256),
        ({**CONVNEXT, "size": {"shortest_edge": 384}}, 384, "squash", None),
        ({**SIGLIP, "size": 384}, 384, "squash", None),
        ({**SIGLIP, "crop_size": 224}, 224, "squash", None),
        (DINO3, 224, "squash", None),
        (VIT, 224, "squash", None),
        ({**VIT, "crop_size": 224, "do_center_crop": False}, 224, "squash", None),
        ({**CLIP, "image_processor_type": "CLIPImageProcessorFast"}, 224, "crop", 224),
        ({**DINO, "size": 256}, 224, "crop", 256),
        ({**VIT, "size": 256, "crop_size": 224, "default_to_square": False}, 224, "crop", 256),
    ],
)
def test_what_transformers_writes_is_understood(net, config, size, resize, shorter):
    say(net, config)
    found = described(net, {})
    assert (found.size, found.resize, found.shorter) == (size, resize, shorter)
    assert (found.mean, found.std) == (tuple(config["image_mean"]), tuple(config["image_std"]))
    assert found.scale == pytest.approx(1 / 255)
    assert (found.resample, found.channels) == ("bicubic", "RGB")
    assert (found.layer, found.pooling) == (None, None)


def test_numbers_for_filters_are_pillow_s(net):
    for number, name in enumerate(("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")):
        say(net, {**SIGLIP, "resample": number})
        assert described(net, {}).resample == name


def test_steps_that_are_left_out(net):
    plain = {**SIGLIP, "do_normalize": False, "do_rescale": False}
    del plain["image_mean"], plain["image_std"], plain["rescale_factor"]
    say(net, plain)
    found = described(net, {})
    assert (found.mean, found.std, found.scale) == ((0, 0, 0), (1, 1, 1), 1)


@pytest.mark.parametrize(
    ("config", "change", "trouble"),
    [
        (DINO, {"do_resize": False}, "do_resize false, but photos come in all sizes"),
        (DINO, {"do_center_crop": False}, "keeps photos oblong"),
        (CLIP, {"do_center_crop": False}, "keeps photos oblong"),
        # DeiT's squashes to 256 x 256 before it crops; without a class it could be either.
        (VIT, {"size": 256, "do_center_crop": True, "crop_size": 224}, "short side"),
        (CLIP, {"feature_extractor_type": None}, "size 224, and does not say .* short side"),
        (DINO, {"do_center_crop": 1}, "do_center_crop 1, not true or false"),
        (DINO, {"size": {"shortest_edge": 200}}, "crops 224 pixels out of 200"),
        (DINO, {"size": {"shortest_edge": "256"}}, 'size "256", which is no number of pixels'),
        (DINO, {"size": {"longest_edge": 256}}, "which is no square"),
        (DINO, {"size": {"height": 256, "width": 256}}, "crops photos after squashing"),
        (DINO, {"size": None}, "lacks 'size'"),
        (DINO, {"crop_size": {"height": 224, "width": 200}}, "which is no square"),
        (DINO, {"resample": None}, "lacks 'resample'"),
        (DINO, {"resample": 6}, "resample 6, not 0 to 5"),
        (DINO, {"resample": "bicubic"}, 'resample "bicubic", not 0 to 5'),
        (DINO, {"image_mean": None}, "lacks 'image_mean'"),
        (DINO, {"image_std": 0.5}, r"'std' is 0\.5, not three numbers"),
        (DINO, {"rescale_factor": "x"}, "'scale' is"),
        (DINO, {"do_pad": True}, "says 'do_pad', which is not known here"),
        (DINO, {"offset": 0.5}, "says 'offset', which is not known here"),
        (SIGLIP, {"size": {"height": 224}}, "which is no square"),
        (SIGLIP, {"size": {"height": "224", "width": "224"}}, "which is no number of pixels"),
        (SIGLIP, {"size": True}, "size true, which is no number"),
        (CONVNEXT, {"crop_pct": 2}, "crop_pct 2, not a number up to 1"),
        (CONVNEXT, {"size": {"height": 224, "width": 224}}, "crop_pct without a shortest_edge"),
    ],
)
def test_what_cannot_be_followed_is_refused(net, config, change, trouble):
    path = say(net, {**config, **change})
    with pytest.raises(InputError, match=trouble) as error:
        described(net, {})
    assert error.value.path == path


def test_settings_that_are_off_or_do_not_matter_may_be_there(net):
    say(net, {**DINO, "do_pad": False, "size_divisor": None, "return_tensors": "pt"})
    assert described(net, {}).size == 224


# ---------------------------------------------------------------- which file counts


def test_the_network_s_own_file_comes_first(net):
    say(net, "no JSON, and never read")
    say(net, {**IMAGENET, "size": 96}, "net.json")
    assert described(net, {}).size == 96


def test_a_folder_called_onnx_is_looked_out_of(tmp_path, monkeypatch):
    inner, other = tmp_path / "onnx", tmp_path / "other"
    inner.mkdir()
    other.mkdir()
    (tmp_path / CONFIG).write_text(json.dumps(DINO))
    assert described(inner / "model.onnx", {}).size == 224
    with pytest.raises(InputError, match="nothing says"):
        described(other / "model.onnx", {})
    monkeypatch.chdir(inner)
    assert described((inner / "model.onnx").relative_to(inner), {}).size == 224


def test_another_size_or_rule_changes_the_short_side_with_it(net):
    say(net, DINO)
    assert described(net, {"size": 448}).shorter == 512
    assert described(net, {"resize": "squash"}).shorter is None
    assert described(net, {"shorter": 240}).shorter == 240
