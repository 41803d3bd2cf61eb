"""The tokenizer of a search: every text gets the tokens that open_clip gives it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import open_clip
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from standins import Parity, small_config

from ram_tagger.clip import Tokenizer
from ram_tagger.config import ClipConfig
from ram_tagger.model_folder import load_config
from ram_tagger.quick.merges import TABLE, write_merges
from ram_tagger.quick.tokens import QuickTokenizer
from ram_tagger.sources import BUNDLED

PUBLISHED = Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
PLAIN = st.characters(min_codepoint=1, max_codepoint=127)
PIECES = st.sampled_from(
    "tabby it's WE'LL don't 42 ! … ﬁ naïve Ã© “x” 猫 &amp; &eacute &lt < ".split(" ")
    + "<start_of_text> <END_OF_TEXT> \x1b[1m \t\r\n".split(" ")
)
CONFIGS = {
    "openai": ClipConfig(),
    "short": replace(ClipConfig(), context_length=5),
    "bundled": load_config(BUNDLED).clip,
    "without start and end": small_config().clip,
    "knows padding": replace(ClipConfig(), token_ids=(0, 256, 320, 49406, 49407)),
}


@cache
def both(name: str) -> tuple[QuickTokenizer, Tokenizer]:
    return QuickTokenizer(CONFIGS[name]), Tokenizer(CONFIGS[name])


def assert_same(name: str, text: str) -> None:
    """The same rows up to the first that is largest; no text tower uses those after it."""
    quick, original = both(name)
    rows = original([text])[0].tolist()
    assert quick(text) == rows[: rows.index(max(rows)) + 1]


@pytest.mark.parametrize("name", CONFIGS)
def test_the_reference_texts_have_the_reference_tokens(name: str, parity: Parity):
    reference = parity.json("clip_tokens.json")
    for text, ids in zip(reference["texts"], reference["token_ids"], strict=True):
        if name == "openai":
            assert both(name)[0](text) == ids[: ids.index(49407) + 1]
        assert_same(name, text)


@given(st.sampled_from(sorted(CONFIGS)), st.text(PLAIN, max_size=60))
def test_plain_ascii_has_open_clips_tokens(name: str, text: str):
    assert_same(name, text)


@given(st.sampled_from(sorted(CONFIGS)), st.text(max_size=40))
def test_any_text_has_open_clips_tokens(name: str, text: str):
    assert_same(name, text)


@given(st.sampled_from(sorted(CONFIGS)), st.lists(PIECES, max_size=30), st.sampled_from(["", " "]))
def test_texts_of_awkward_pieces_have_open_clips_tokens(name: str, pieces: list[str], gap: str):
    assert_same(name, gap.join(pieces))


def test_the_table_of_merges_is_the_published_list(tmp_path: Path):
    write_merges(PUBLISHED, tmp_path / "merges.safetensors")
    made, kept = load_file(tmp_path / "merges.safetensors"), load_file(TABLE)
    assert made.keys() == kept.keys()
    for name, values in made.items():
        assert values.dtype == kept[name].dtype
        assert values.tolist() == kept[name].tolist()
