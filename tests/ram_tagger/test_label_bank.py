"""Label banks: any number of descriptions for each label, figures equal to the plain definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from ram_tagger.errors import ShapeError
from ram_tagger.labels import LabelBank
from ram_tagger.vocabulary import LabelSet

WIDTH = 8


def label_by_label(bank: LabelBank, glance: Tensor) -> Tensor:
    """softmax(glance · descriptions) over each label's own descriptions, one after the other."""
    out, start = [], 0
    for count in bank.counts.tolist():
        descriptions = bank.embeddings[start : start + count]
        out.append((glance @ descriptions.T).softmax(dim=-1) @ descriptions)
        start += count
    return torch.stack(out, dim=1)


def random_bank(counts: list[int], seed: int = 0) -> LabelBank:
    generator = torch.Generator().manual_seed(seed)
    embeddings = normalize(torch.randn(sum(counts), WIDTH, generator=generator), dim=-1)
    return LabelBank(embeddings, torch.tensor(counts))


@given(
    counts=st.lists(st.integers(1, 6), min_size=1, max_size=12),
    pictures=st.integers(1, 3),
    seed=st.integers(0, 2**16),
)
def test_ragged_counts_equal_the_plain_loop(counts: list[int], pictures: int, seed: int):
    bank = random_bank(counts, seed)
    glance = 14 * normalize(torch.randn(pictures, WIDTH), dim=-1)
    weighted = bank.weighted(glance)
    assert weighted.shape == (pictures, len(counts), WIDTH)
    assert torch.allclose(weighted, label_by_label(bank, glance), atol=1e-5)


def test_ragged_counts_under_autocast():
    bank = random_bank([3, 1, 2])
    glance = 4 * normalize(torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(1)), dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        weighted = bank.weighted(glance)
    assert torch.allclose(weighted.float(), label_by_label(bank, glance), atol=0.02)


@given(counts=st.lists(st.integers(1, 6), min_size=2, max_size=8), data=st.data())
def test_a_label_does_not_depend_on_the_others(counts: list[int], data: st.DataObject):
    bank = random_bank(counts)
    row = data.draw(st.integers(0, len(counts) - 1))
    start = sum(counts[:row])
    alone = LabelBank(bank.embeddings[start : start + counts[row]], torch.tensor([counts[row]]))
    glance = 14 * normalize(torch.randn(2, WIDTH), dim=-1)
    assert torch.allclose(alone.weighted(glance)[:, 0], bank.weighted(glance)[:, row], atol=1e-5)


def test_ragged_logits_equal_label_by_label(small):
    """The whole network on the ragged vocabulary of a model folder (3, 1, 2 and 4 descriptions)."""
    torch.manual_seed(0)
    tokens = torch.randn(2, 37, 64)
    together = small.network.score(tokens, small.bank)
    start = 0
    for row, count in enumerate(small.bank.counts.tolist()):
        rows = small.bank.embeddings[start : start + count]
        alone = small.network.score(tokens, LabelBank(rows, torch.tensor([count])))
        assert torch.allclose(alone[:, 0], together[:, row], atol=1e-5)
        start += count


def test_many_labels_are_decoded_in_parts_without_a_seam(small):
    """More labels than are decoded at a time: each figure as when few are asked."""
    torch.manual_seed(0)
    tokens = torch.randn(1, 37, 64)
    rows = normalize(torch.randn(1030, 64), dim=-1)
    every = small.network.score(tokens, LabelBank(rows, torch.ones(1030, dtype=torch.int64)))
    last = small.network.score(tokens, LabelBank(rows[1020:], torch.ones(10, dtype=torch.int64)))
    assert torch.allclose(every[:, 1020:], last, atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "counts", "message"),
    [
        (3, [1, 1], "do not fit 2 descriptions of 2 labels"),
        (2, [2, 0], "a label without a description"),
    ],
)
def test_banks_that_do_not_add_up_are_refused(rows: int, counts: list[int], message: str):
    with pytest.raises(ShapeError, match=message):
        LabelBank(torch.zeros(rows, WIDTH), torch.tensor(counts))


def test_descriptions_of_another_model_are_refused():
    with pytest.raises(ShapeError, match="pictures are 4 wide, descriptions 8"):
        random_bank([1, 2]).weighted(torch.zeros(1, 4))


def test_a_vocabulary_has_one_of_each_for_every_tag():
    with pytest.raises(ShapeError, match="2 tags, 1 Chinese tags and 2 thresholds"):
        LabelSet(("a", "b"), ("甲",), (0.5, 0.5))
