"""Benchmarks in the original layout: which picture, which tag, which truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photoindex.errors import ConceptError
from ram_tagger.errors import RamTaggerError, ShapeError
from ram_tagger.evaluation.benchmark import Benchmark, find_benchmark, read_benchmark


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Names with and without suffix, a tag listed twice, a picture without a tag, one missing."""
    images = tmp_path / "imgs" / "test"
    images.mkdir(parents=True)
    for name in ("one.jpg", "two.PNG", "three.v2.webp", "four.jpg"):
        Image.new("RGB", (4, 4)).save(images / name)
    (tmp_path / "b_taglist.txt").write_text("cat\ndog\nred car\ncat\n\n", encoding="utf-8")
    lines = ["test/one,cat", "test/two,dog, red car", "test/three.v2", "test/four.jpg", "test/lost"]
    (tmp_path / "b_annots.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def read(folder: Path, descriptions: Path | None = None) -> Benchmark:
    return read_benchmark(
        folder / "b_taglist.txt", folder / "b_annots.txt", folder / "imgs", descriptions
    )


def test_a_path_is_taken_as_written_or_with_a_suffix_in_any_case(folder: Path):
    found = read(folder)
    names = ["one.jpg", "two.PNG", "three.v2.webp", "four.jpg", "lost"]
    assert found.pictures == tuple(folder / "imgs" / "test" / name for name in names)
    assert found.called[:3] == ("test/one", "test/two", "test/three.v2")  # as annotated


def test_a_tag_that_is_listed_twice_is_true_in_both_places(folder: Path):
    found = read(folder)
    assert found.tags == ("cat", "dog", "red car", "cat")
    expected = [[1, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert found.truth.dtype == np.bool_
    assert found.truth.tolist() == np.array(expected, dtype=bool).tolist()


def test_descriptions_are_found_in_any_case_and_keep_the_order_of_the_list(folder: Path):
    table = {"Red Car": {"threshold": 0.7}, "CAT": ["a cat"], "dog": [], "unused": []}
    path = folder / "d.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    concepts = read(folder, path).concepts
    assert [concept.name for concept in concepts] == ["CAT", "dog", "Red Car", "CAT"]
    assert [concept.threshold for concept in concepts] == [0.5, 0.5, 0.7, 0.5]
    assert read(folder).concepts == ()


def test_a_folder_for_several_models_means_the_files_for_ram(folder: Path):
    assert find_benchmark(folder).tag_list == folder / "b_taglist.txt"
    for name in ("b_ram_taglist.txt", "b_ram_annots.txt", "b_tag2text_tagidlist.txt"):
        (folder / name).write_text("cat\n", encoding="utf-8")
    files = find_benchmark(folder)
    assert files.tag_list == folder / "b_ram_taglist.txt"
    assert files.annotations == folder / "b_ram_annots.txt"
    assert (files.images, files.descriptions) == (folder / "imgs", None)
    assert find_benchmark(folder, images=folder / "other").images == folder / "other"


def test_a_folder_that_leaves_a_choice_is_refused(folder: Path):
    (folder / "c_taglist.txt").write_text("cat\n", encoding="utf-8")
    with pytest.raises(RamTaggerError, match=r'several \*_taglist.txt .*"c_taglist.txt".*--tag-l'):
        find_benchmark(folder)
    with pytest.raises(RamTaggerError, match=r"has no \*_taglist.txt"):
        find_benchmark(folder / "imgs")
    with pytest.raises(RamTaggerError, match="no folder"):
        find_benchmark(folder / "nowhere")
    with pytest.raises(RamTaggerError, match=r"no \*_llm_tag_descriptions.json"):
        find_benchmark(folder, tag_list=folder / "b_taglist.txt").read(open_set=True)


def test_a_mistake_is_named_with_its_line(folder: Path):
    annotations = folder / "b_annots.txt"
    annotations.write_text("test/one,cat\n\ntest/two,dog,catt\n", encoding="utf-8")
    with pytest.raises(RamTaggerError, match=r'b_annots.txt: line 3: "catt" is not in the tag'):
        read(folder)
    annotations.write_text("test/one,cat\n,dog\n", encoding="utf-8")
    with pytest.raises(RamTaggerError, match="line 2 names no picture"):
        read(folder)
    annotations.write_text("\n", encoding="utf-8")
    with pytest.raises(RamTaggerError, match=r"b_annots.txt names no picture"):
        read(folder)
    annotations.write_bytes(b"caf\xe9,cat\n")
    with pytest.raises(RamTaggerError, match="not UTF-8"):
        read(folder)
    annotations.unlink()
    with pytest.raises(RamTaggerError, match="cannot be read"):
        read(folder)
    (folder / "b_taglist.txt").write_text("", encoding="utf-8")
    with pytest.raises(RamTaggerError, match="holds no tag"):
        read(folder)


def test_a_tag_without_descriptions_is_named(folder: Path):
    path = folder / "d.json"
    path.write_text('{"cat": []}', encoding="utf-8")
    with pytest.raises(RamTaggerError, match=r'"dog", "red car" \(2 of 3 tags\)'):
        read(folder, path)
    path.write_text("[", encoding="utf-8")
    with pytest.raises(ConceptError, match="not JSON"):
        read(folder, path)


def test_parts_that_do_not_fit_are_refused():
    truth = np.zeros((1, 2), dtype=np.bool_)
    with pytest.raises(ShapeError, match="do not fit"):
        Benchmark("b", (Path("a.jpg"),), ("a",), ("cat",), truth)
