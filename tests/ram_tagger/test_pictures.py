"""Pictures of every mode, size and orientation, as paths and from memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ram_tagger.config import ClipConfig, RamConfig
from ram_tagger.errors import UnreadablePicture
from ram_tagger.pixels import as_rgb, clip_pixels, ram_pixels
from ram_tagger.predict import RamTagger, open_picture

ORIENTATION = 0x0112


def gradient(size: tuple[int, int] = (60, 40)) -> Image.Image:
    """Brighter to the right, redder downwards: no two orientations look the same."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([y, x, 255 - x], -1).astype(np.uint8), "RGB")


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16"]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_rgb(small: RamTagger, mode: str):
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(gradient().convert("L")).astype(np.uint16) * 257)
    else:
        picture = gradient().convert("L" if mode in {"I", "F"} else "RGB").convert(mode)
    assert picture.mode == mode
    (prediction,) = small.predict([picture])
    assert np.isfinite(prediction.probabilities).all()
    assert np.linalg.norm(prediction.embedding) == pytest.approx(1, abs=1e-5)


def test_sixteen_bit_greys_look_like_their_eight_bit_copies(tmp_path: Path):
    grey = gradient().convert("L")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as deep:
        assert deep.mode.startswith("I")
    assert np.array_equal(open_picture(tmp_path / "deep.png"), grey.convert("RGB"))


def test_transparency_is_dropped_as_in_the_original():
    picture = gradient()
    transparent = picture.copy()
    transparent.putalpha(7)
    assert np.array_equal(as_rgb(transparent), picture)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_seen_upright(orientation: int, tmp_path: Path):
    upright = gradient((64, 32))
    turned = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright if turned is None else upright.transpose(turned)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)

    assert np.array_equal(open_picture(tmp_path / "turned.png"), upright)
    with Image.open(tmp_path / "turned.png") as in_memory:
        assert np.array_equal(open_picture(in_memory), upright)


def test_paths_texts_and_pictures_mix_in_one_batch(small: RamTagger, tmp_path: Path):
    picture = gradient()
    picture.save(tmp_path / "a.png")
    mixed = [tmp_path / "a.png", str(tmp_path / "a.png"), picture] * 2  # more than one batch
    predictions = list(small.predict(mixed))
    assert len(predictions) == 6
    for prediction in predictions:
        assert np.allclose(prediction.probabilities, predictions[0].probabilities, atol=1e-5)


def test_no_pictures_give_no_predictions(small: RamTagger):
    assert list(small.predict([])) == []
    assert small.embed_pictures([]).shape == (0, 64)


@pytest.mark.parametrize("size", [(97, 1200), (1, 5000), (5000, 1), (1, 1), (2, 3), (60000, 2)])
def test_any_aspect_ratio_has_pixels(size: tuple[int, int]):
    picture = Image.new("RGB", size, (255, 0, 0))
    for pixels in (clip_pixels([picture], ClipConfig()), ram_pixels([picture], RamConfig())):
        assert pixels.isfinite().all()
        assert pixels.std(dim=(2, 3)).max() < 1e-3


@settings(max_examples=40, deadline=None)
@given(width=st.integers(1, 700), height=st.integers(1, 700))
def test_any_size_gives_one_shape(width: int, height: int):
    picture = Image.new("L", (width, height), 100)
    assert clip_pixels([picture], ClipConfig()).shape == (1, 3, 224, 224)


def test_the_middle_of_a_long_strip_is_what_clip_sees():
    strip = Image.new("RGB", (5000, 10), (0, 0, 255))
    strip.paste((255, 0, 0), (2490, 0, 2510, 10))
    means = clip_pixels([strip], ClipConfig()).mean((2, 3))[0]
    assert means[0] > means[2]  # more red than blue


def test_heic_is_read_upright():
    picture = open_picture(Path(__file__).parents[1] / "photos" / "turned.heic")
    assert (picture.mode, picture.size) == ("RGB", (96, 64))


@pytest.mark.parametrize(
    "content",
    [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x10JFIF", b"GIF89a"],
)
def test_what_is_no_picture_is_named(content: bytes, tmp_path: Path):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadablePicture, match=r"holiday\.jpg: no picture that can be read"):
        open_picture(path)


def test_a_folder_and_a_lost_file_are_no_pictures(tmp_path: Path):
    for path in (tmp_path, tmp_path / "lost.jpg"):
        with pytest.raises(UnreadablePicture, match="no picture that can be read"):
            open_picture(path)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    form=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "PPM"]),
)
def test_a_damaged_picture_is_unreadable_or_read_never_a_crash(
    data: st.DataObject, form: str, tmp_path_factory: pytest.TempPathFactory
):
    path = tmp_path_factory.getbasetemp() / f"damaged.{form.lower()}"
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    gradient((24, 16)).save(path, form, **({"exif": exif} if form in {"JPEG", "PNG"} else {}))
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(whole[: data.draw(st.integers(1, len(whole)))]))
    try:
        assert open_picture(path).mode == "RGB"
    except UnreadablePicture as error:
        assert path.name in str(error)
