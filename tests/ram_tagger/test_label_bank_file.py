"""Label banks on disk: what `ram-tagger label-bank` writes, and what training reads."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import normalize

from photoindex.concept_file import read_concepts
from photoindex.tagger import Concept
from ram_tagger.cli.app import main
from ram_tagger.errors import CheckpointError, ShapeError
from ram_tagger.label_bank import build_bank, open_clip_of, read_bank, write_bank
from ram_tagger.labels import LabelBank
from ram_tagger.openset import embed_concepts
from ram_tagger.templates import TEMPLATES

WIDTH = 128  # of the bundled model's CLIP
DESCRIBED = {
    "cat": ["a cat with whiskers", "a tabby cat", "a small animal with soft fur"],
    "red car": ["a red car"],
    "Straße": [],
    "tree": ["a green tree", "a tree without leaves"],
}
Outcome = tuple[int, str, str]


@pytest.fixture
def typed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """`ram-tagger label-bank` as a user types it: exit code, stdout, stderr."""

    def run(*words: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["ram-tagger", "label-bank", *map(str, words)])
        with pytest.raises(SystemExit) as leaving:
            main()
        return int(leaving.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture
def descriptions(tmp_path: Path) -> Path:
    path = tmp_path / "descriptions.json"
    path.write_text(json.dumps(DESCRIBED), encoding="utf-8")
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "bank.safetensors"


def rows_of(bank: LabelBank) -> list[Tensor]:
    """Each label's own descriptions."""
    return list(bank.embeddings.split(bank.counts.tolist()))


def equal(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    pairs = zip(ours, theirs, strict=True)
    return all(a.shape == b.shape and torch.equal(a, b) for a, b in pairs)


# The command


def test_a_bank_holds_the_label_embeddings_of_all_concepts(typed, descriptions, out):
    code, stdout, stderr = typed(descriptions, "--clip", "sketch", "--out", out)
    assert (code, stdout) == (0, "")
    assert "4 tags, 12 descriptions" in stderr
    names, bank = read_bank(out)
    expected = embed_concepts(open_clip_of("sketch"), read_concepts(descriptions))
    assert names == expected.names == tuple(DESCRIBED)
    assert bank.counts.tolist() == expected.counts.tolist() == [3, 1, len(TEMPLATES), 2]
    assert bank.embeddings.dtype == torch.float32
    assert np.allclose(bank.embeddings.numpy(), expected.embeddings, atol=1e-6)
    assert torch.allclose(bank.embeddings.norm(dim=1), torch.ones(12), atol=1e-5)


def test_what_was_made_is_told_as_json(typed, descriptions, out):
    _, stdout, _ = typed(descriptions, "--clip", "sketch", "--out", out, "--json")
    assert json.loads(stdout) == {"file": str(out), "tags": 4, "descriptions": 12}


def test_a_tag_list_chooses_tags_and_their_order_and_spelling(typed, descriptions, out, tmp_path):
    tags = tmp_path / "tags.txt"
    tags.write_text("tree\nCat\nSTRASSE\n", encoding="utf-8")
    assert typed(descriptions, "--clip", "sketch", "--out", out, "--tags", tags)[0] == 0
    names, bank = read_bank(out)
    assert names == ("tree", "Cat", "STRASSE")
    clip = open_clip_of("sketch")
    for name, rows in zip(("tree", "cat", "STRASSE"), rows_of(bank), strict=True):
        alone = build_bank([Concept(name, tuple(DESCRIBED.get(name, ())))], clip)
        assert torch.allclose(rows, alone.embeddings, atol=1e-5)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ("cat\nzebra\ngnu\n", "2 tags of {tags} are not described, the first is zebra"),
        ("", "{tags} names no tag: write one a line"),
        (None, "the tag list {tags} cannot be read"),
    ],
)
def test_tags_without_descriptions_are_refused(
    typed, descriptions, out, tmp_path, tags: str | None, message: str
):
    path = tmp_path / "tags.txt"
    if tags is not None:
        path.write_text(tags, encoding="utf-8")
    refused(typed(descriptions, "--clip", "sketch", "--out", out, "--tags", path), 3)(
        message.format(tags=path)
    )
    assert not out.exists()


def test_what_cannot_be_used_is_refused(typed, descriptions, out, tmp_path):
    refused(typed(tmp_path / "none.json", "--clip", "sketch"), 2)("cannot be read")
    refused(typed(descriptions, "--clip", tmp_path / "ViT-B-16.pt"), 3)("no checkpoint at")
    refused(typed(descriptions, "--clip", tmp_path), 3)("is no model folder")
    away = tmp_path / "no" / "bank.safetensors"
    refused(typed(descriptions, "--clip", "sketch", "--out", away), 3)(f"cannot write {away}")
    refused(typed(descriptions), 2)("--clip")
    assert [path.name for path in tmp_path.iterdir()] == [descriptions.name]


def refused(outcome: Outcome, expected: int) -> Callable[[str], None]:
    code, stdout, stderr = outcome
    assert (code, stdout) == (expected, ""), stderr
    last = stderr.splitlines()[-1]
    assert last.startswith("ram-tagger: ") and "Traceback" not in stderr

    def says(part: str) -> None:
        assert part in last

    return says


def test_progress_counts_tags(descriptions):
    told: list[tuple[str, int, int]] = []
    concepts = [Concept(f"tag {row}", ("a cat",)) for row in range(130)]
    bank = build_bank(concepts, open_clip_of("sketch"), lambda *row: told.append(row))
    assert told == [("embedding descriptions", done, 130) for done in (64, 128, 130)]
    assert bank.counts.tolist() == [1] * 130


# The file


def random_bank(counts: list[int], seed: int = 0) -> LabelBank:
    generator = torch.Generator().manual_seed(seed)
    embeddings = normalize(torch.randn(sum(counts), 4, generator=generator), dim=-1)
    return LabelBank(embeddings, torch.tensor(counts))


NAMES = ("cat", "a bird", "猫", "red car")


@pytest.fixture
def written(out: Path) -> LabelBank:
    bank = random_bank([2, 1, 5, 3])
    write_bank(out, NAMES, bank, "a CLIP")
    return bank


def test_a_bank_is_read_as_it_was_written(written, out):
    names, bank = read_bank(out)
    assert names == NAMES and equal(rows_of(bank), rows_of(written))
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_the_tags_wanted_come_in_the_order_wanted(written, out):
    wanted = ("Red Car", "cat", "猫")
    names, bank = read_bank(out, wanted)
    assert names == wanted
    rows = rows_of(written)
    assert equal(rows_of(bank), [rows[3], rows[0], rows[2]])


def test_tags_that_the_bank_lacks_are_refused(written, out):
    with pytest.raises(CheckpointError, match="no descriptions of 2 tags, the first is dog: make"):
        read_bank(out, ("cat", "dog", "gnu"))


def test_no_tag_wanted_is_refused(written, out):
    with pytest.raises(CheckpointError, match="no tag"):
        read_bank(out, ())


@pytest.mark.parametrize("content", [b"", b"{}", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_file_that_is_no_bank_is_refused(out, content: bytes):
    out.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is no label bank: .*; make one with ram-tagger la"):
        read_bank(out)


def test_a_bank_that_is_not_there_and_one_without_names_are_refused(out):
    with pytest.raises(CheckpointError, match="is no label bank"):
        read_bank(out)
    save_file({"embeddings": torch.zeros(2, 4), "counts": torch.tensor([2])}, out)
    with pytest.raises(CheckpointError, match="is no label bank"):
        read_bank(out)
    assert load_file(out)["counts"].tolist() == [2]


def test_names_and_counts_that_do_not_fit_are_refused(out):
    write_bank(out, ("cat", "dog"), random_bank([2, 1, 3]), "a CLIP")
    with pytest.raises(CheckpointError, match="is no label bank: 2 names of 3 tags"):
        read_bank(out)


# The published file


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, Tensor]:
    """Three descriptions of each of four tags, tag after tag, in half precision."""
    rows = normalize(torch.randn(12, WIDTH, generator=torch.Generator().manual_seed(3)), dim=-1)
    path = tmp_path / "tag_embedding_class_4_des_3.pth"
    torch.save(rows.half(), path)
    return path, rows.half().float()


def test_the_published_bank_is_read(published):
    path, rows = published
    names, bank = read_bank(path, NAMES)
    assert names == NAMES and bank.counts.tolist() == [3, 3, 3, 3]
    assert bank.embeddings.dtype == torch.float32
    assert torch.equal(bank.embeddings, rows)


def test_the_published_bank_needs_its_own_tags(published):
    path, _ = published
    with pytest.raises(CheckpointError, match="does not say whose descriptions it holds: give the"):
        read_bank(path)
    with pytest.raises(CheckpointError, match="12 description embeddings cannot belong to 5 tags"):
        read_bank(path, (*NAMES, "dog"))
    with pytest.raises(CheckpointError, match="12 description embeddings cannot belong to 0 tags"):
        read_bank(path, ())


@pytest.mark.parametrize("content", [{"weight": torch.zeros(4)}, [1, 2]])
def test_another_checkpoint_is_no_bank(tmp_path, content: object):
    path = tmp_path / "model.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"model\.pth holds no tensor of its own"):
        read_bank(path, NAMES)


def test_a_tensor_of_another_shape_is_no_bank(tmp_path):
    path = tmp_path / "bank.pth"
    torch.save(torch.zeros(4), path)
    with pytest.raises(ShapeError, match="do not fit"):
        read_bank(path, NAMES)


# Banks made of banks

counts_lists = st.lists(st.integers(1, 5), min_size=1, max_size=8)


@given(counts=counts_lists, data=st.data())
def test_chosen_labels_keep_their_own_descriptions(counts: list[int], data: st.DataObject):
    bank = random_bank(counts)
    rows = data.draw(st.lists(st.integers(0, len(counts) - 1), min_size=1, max_size=10))
    chosen = bank.chosen(rows)
    assert chosen.counts.tolist() == [counts[row] for row in rows]
    assert equal(rows_of(chosen), [rows_of(bank)[row] for row in rows])


@given(counts=counts_lists, most=st.integers(1, 6))
def test_the_first_descriptions_of_every_label(counts: list[int], most: int):
    bank = random_bank(counts)
    first = bank.first(most)
    assert first.counts.tolist() == [min(count, most) for count in counts]
    assert equal(rows_of(first), [rows[:most] for rows in rows_of(bank)])


@given(ours=counts_lists, theirs=counts_lists)
def test_joined_banks_have_the_labels_of_both(ours: list[int], theirs: list[int]):
    one, other = random_bank(ours), random_bank(theirs, seed=1)
    joined = one.joined(other)
    assert len(joined) == len(ours) + len(theirs)
    assert equal(rows_of(joined), [*rows_of(one), *rows_of(other)])
    halved = one.joined(other.to("cpu", torch.float64))
    assert halved.embeddings.dtype == torch.float32
