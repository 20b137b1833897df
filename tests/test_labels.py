import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from houndsight.errors import InputError
from houndsight.labels import folder_label, labeller

ROOT = b"/photos"


def labels_of(tmp_path, text, root=ROOT):
    file = tmp_path / "labels.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    label_of, source = labeller(str(file), root)
    assert source == "csv"
    return label_of


@pytest.mark.parametrize(
    ("path", "label"),
    [
        (b"a.jpg", None),
        (b"beagle/a.jpg", "beagle"),
        (b"dogs/beagle/a.jpg", "beagle"),
        (b"n02085620-Chihuahua/n02085620_7.jpg", "Chihuahua"),
        (b"n02106030-collie/x/a.jpg", "x"),
        # Not ImageNet's: kept whole.
        (b"n0208562-Chihuahua/a.jpg", "n0208562-Chihuahua"),
        (b"n02085620/a.jpg", "n02085620"),
        (b"n02085620-/a.jpg", "n02085620-"),
        (b"not-n02085620-x/a.jpg", "not-n02085620-x"),
        (b" pug /a.jpg", "pug"),
        (b"   /a.jpg", None),
        (b"caf\xe9/a.jpg", "caf\N{REPLACEMENT CHARACTER}"),
        ("épagneul/a.jpg".encode(), "épagneul"),
        (unicodedata.normalize("NFD", "épagneul/a.jpg").encode(), "épagneul"),
    ],
)
def test_the_folder_that_holds_a_photo_is_its_label(path, label):
    assert folder_label(path) == label
    label_of, source = labeller("folder", ROOT)
    assert (label_of(path), source) == (label, "folder")


def test_none_gives_no_label_and_no_source():
    label_of, source = labeller("none", ROOT)
    assert (label_of(b"beagle/a.jpg"), source) == (None, None)


@given(st.binary(min_size=1, max_size=30).filter(lambda name: b"/" not in name))
def test_any_folder_name_gives_a_label_that_can_be_stored(name):
    label = folder_label(name + b"/a.jpg")
    if label is not None:
        label.encode("utf-8")
        assert label == label.strip()
        assert unicodedata.is_normalized("NFC", label)
        assert label != ""


def test_csv_paths_are_relative_to_the_root_or_absolute(tmp_path):
    text = "path,label\na.jpg,pug\nx/b.jpg,collie\n/photos/x/c.jpg,beagle\n/other/d.jpg,husky\n"
    label_of = labels_of(tmp_path, text)
    assert [label_of(path) for path in (b"a.jpg", b"x/b.jpg", b"x/c.jpg")] == [
        "pug",
        "collie",
        "beagle",
    ]
    assert label_of(b"d.jpg") is None
    assert label_of(b"b.jpg") is None


def test_csv_paths_may_take_a_detour(tmp_path):
    label_of = labels_of(tmp_path, "path,label\n./a.jpg,pug\nx/../y//b.jpg,collie\n")
    assert (label_of(b"a.jpg"), label_of(b"y/b.jpg")) == ("pug", "collie")


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfpath,label\na.jpg,pug\n",
        b"path,label\r\na.jpg,pug\r\n",
        b"path,label\na.jpg,pug",
        b"label,path\npug,a.jpg\n",
        b"path,year,label\na.jpg,1999,pug\n",
        b'path,label\n"a.jpg"," pug "\n\n',
        b"path,label\na.jpg,pug\na.jpg,pug\n",
        b"path,label\na.jpg,pug\na.jpg,\nb.jpg\n",
    ],
    ids=["BOM", "CRLF", "no last newline", "turned", "more columns", "quoted", "twice", "blank"],
)
def test_csv_files_as_programs_write_them(tmp_path, text):
    label_of = labels_of(tmp_path, text)
    assert (label_of(b"a.jpg"), label_of(b"b.jpg")) == ("pug", None)


def test_csv_names_with_commas_and_newlines(tmp_path):
    label_of = labels_of(tmp_path, 'path,label\n"a,b\nc.jpg","Terrier, ""wire"""\n')
    assert label_of(b"a,b\nc.jpg") == 'Terrier, "wire"'


def test_csv_paths_that_are_not_utf8(tmp_path):
    label_of = labels_of(tmp_path, b"path,label\ncaf\xe9.jpg,pug\ncaf\xc3\xa9.jpg,collie\n")
    assert label_of(b"caf\xe9.jpg") == "pug"
    assert label_of("café.jpg".encode()) == "collie"


def test_csv_labels_that_are_not_utf8_can_be_stored(tmp_path):
    label = labels_of(tmp_path, b"path,label\na.jpg,caf\xe9\n")(b"a.jpg")
    assert label.encode("utf-8").startswith(b"caf")
    assert len(label) == 4


def test_csv_labels_are_composed(tmp_path):
    apart = unicodedata.normalize("NFD", "épagneul")
    assert apart != "épagneul"
    label_of = labels_of(tmp_path, f"path,label\na.jpg,{apart}\nb.jpg,épagneul\na.jpg,épagneul\n")
    assert label_of(b"a.jpg") == label_of(b"b.jpg") == "épagneul"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "a.jpg,pug\n",
        "path\na.jpg\n",
        "Path;Label\na.jpg;pug\n",
        "path,breed\na.jpg,pug\n",
    ],
)
def test_a_csv_without_the_columns_is_refused_with_the_line_to_begin_with(tmp_path, text):
    with pytest.raises(InputError, match=r"labels\.csv: has no columns path and label.*path,label"):
        labels_of(tmp_path, text)


def test_a_csv_from_a_spreadsheet_in_utf16_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no columns path and label"):
        labels_of(tmp_path, "path,label\na.jpg,pug\n".encode("utf-16"))


@pytest.mark.parametrize("second", ["a.jpg", "./a.jpg", "/photos/a.jpg"])
def test_two_labels_for_one_photo_are_refused_by_line(tmp_path, second):
    with pytest.raises(InputError) as caught:
        labels_of(tmp_path, f"path,label\na.jpg,pug\nb.jpg,pug\n{second},collie\n")
    assert caught.value.cause == f"line 4 gives {second} a second label, collie"
    assert caught.value.remedy == "Leave one line for each photo"


def test_the_message_of_a_contradiction_is_one_line_whatever_the_names(tmp_path):
    text = b'path,label\n"a\n\xe9.jpg",pug\n"a\n\xe9.jpg","x\ny"\n'
    with pytest.raises(InputError) as caught:
        labels_of(tmp_path, text)
    message = str(caught.value)
    message.encode("utf-8")
    assert message.isprintable()
    assert r"gives a\n\udce9.jpg a second label, x\ny" in message


def test_an_absent_csv_is_refused_with_the_rules_there_are(tmp_path):
    with pytest.raises(InputError, match=r"there is no such file.*folder, none, or a CSV"):
        labeller(str(tmp_path / "labels.csv"), ROOT)


def test_a_folder_for_a_csv_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read as CSV: .*directory"):
        labeller(str(tmp_path), ROOT)


def test_a_csv_with_an_endless_field_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read as CSV: field larger"):
        labels_of(tmp_path, "path,label\na.jpg," + "x" * 200_000)


def test_csv_labels_for_a_root_with_odd_bytes(tmp_path):
    root = b"/ph\xf6tos"
    label_of = labels_of(tmp_path, b"path,label\n" + root + b"/a.jpg,pug\n", root)
    assert label_of(b"a.jpg") == "pug"
    assert os.fsencode(os.fsdecode(root)) == root
