"""The models this package knows by name, and where the published files of each can be had."""

from __future__ import annotations

from pathlib import Path

from photoindex.tagger import ModelFile, ModelSource

_LISTS = (
    "https://raw.githubusercontent.com/xinyu1205/recognize-anything/"
    "7cb804a8609e9f4b1a50b7f31436d2df40bb9481/ram/data/"
)
_CLIP_SUM = "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"

BUNDLED = Path(__file__).parent / "sketch" / "model"

SKETCH = ModelSource(
    name="sketch",
    summary="bundled; recognises drawn scenes only, for demos and tests",
    bundled=BUNDLED,
)

RAM_PLUS = ModelSource(
    name="ram_plus_swin_large_14m",
    summary="RAM++ Swin-L at 384 pixels, 4,585 tags in English and Chinese, for photographs",
    files=(
        ModelFile(
            "ram_plus_swin_large_14m.pth",
            "https://huggingface.co/xinyu1205/recognize-anything-plus-model/resolve/main/"
            "ram_plus_swin_large_14m.pth",
            "497c178836ba66698ca226c7895317e6e800034be986452dbd2593298d50e87d",
            3_010_210_801,
        ),
        ModelFile(
            "ram_tag_list.txt",
            _LISTS + "ram_tag_list.txt",
            "5d96d2f7225527480ad773aaac76b6e5c08a18adf6eae9ca7d2ab923d5e7bd8b",
        ),
        ModelFile(
            "ram_tag_list_chinese.txt",
            _LISTS + "ram_tag_list_chinese.txt",
            "c912657a0f30be7b2f5df6ccffa17e1d84561d0bea508528e38b6d0d711bcfbe",
        ),
        ModelFile(
            "ram_tag_list_threshold.txt",
            _LISTS + "ram_tag_list_threshold.txt",
            "b6f81d0de1bc7f9c251af512c413eae976c77dbfbadf700d4e3d90510f4c6447",
        ),
        ModelFile(
            "ViT-B-16.pt",
            f"https://openaipublic.azureedge.net/clip/models/{_CLIP_SUM}/ViT-B-16.pt",
            _CLIP_SUM,
        ),
    ),
)
