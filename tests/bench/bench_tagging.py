"""Tagging new photos: the networks alone, and a whole run over files, against the hardware."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from figures import Bench, Figure, median_seconds
from matrix_rate import finish, matrix_rate
from PIL import Image

from photoindex.photos.decode import decode_picture, read_picture
from ram_tagger.model import RamPlus
from ram_tagger.predict import RamTagger

PART = "tagging"
PHOTOS, FEW = 64, 8
"""Files of a whole run, and of the run against which memory must stay flat."""
BATCHES = {"cpu": (4,), "cuda": (8, 32, 64)}
WORK = {"encoder": 104e9, "decoder": 58e9, "CLIP": 17.6e9}
"""Multiply-adds a photo of the published sizes."""
WHOLE = sum(WORK.values())


def measure(bench: Bench) -> Iterator[Figure]:
    """With a model of full size only: a small one is not bound by what it multiplies."""
    if bench.model is None:
        bench.log("tagging: needs --full-size or --model, skipped")
        return
    files = photos(bench.folder / "photos", PHOTOS)
    sides = [decode_picture(read_picture(file), 384).picture for file in files[:4]]
    plain = _plain_seconds(bench.model, bench.device, sides[0])
    yield from _networks(bench.model, bench.device, plain)
    scaled = median_seconds(lambda: decode_picture(read_picture(files[0]), 384), 5)
    full = median_seconds(lambda: decode_picture(read_picture(files[0])), 5)
    yield Figure(PART, "decode a 12 MP JPEG", scaled, "s", full, "at full size")

    yield from _whole_run(bench, files, plain)


def _plain_seconds(model: Path, device: str, picture: Image.Image) -> float:
    """A photo in float32 as it is usually written: timm's own blocks, all labels at once."""
    tagger = RamTagger.load(model, device, "fp32")
    network = tagger.network
    network.encoder._windows = None

    @torch.inference_mode()
    def look() -> None:
        from ram_tagger.pixels import ram_pixels

        tokens = network.encode(ram_pixels([picture], tagger.config.ram).to(device))
        _plain_scores(network, tokens, tagger)
        tagger.embed_pictures([picture])
        finish(device)

    return median_seconds(look, 3)


def _plain_scores(network: RamPlus, tokens: torch.Tensor, tagger: RamTagger) -> torch.Tensor:
    bank = tagger.bank
    glance = F.normalize(tokens[:, 0], dim=-1) * network.reweight_scale.exp()
    descriptions = bank.embeddings.unflatten(0, (len(bank), -1))
    weights = (descriptions @ glance[0]).softmax(dim=-1)
    hidden = F.relu(network.decoder.wordvec_proj((weights.unsqueeze(1) @ descriptions)[:, 0]))[None]
    for layer in network.decoder.layers:
        hidden = layer(hidden, layer.attention(hidden, *layer.attention.project(tokens)))
    return network.decoder.fc(hidden)


@torch.inference_mode()
def _networks(model: Path, device: str, plain: float) -> Iterator[Figure]:
    tagger = RamTagger.load(model, device, "bf16")
    rate = matrix_rate(torch.bfloat16, device)
    yield Figure(
        *(PART, "16-bit matrix products", rate / 1e9, "G multiply-adds/s"),
        *(matrix_rate(torch.float32, device) / 1e9, "32 bit"),
    )
    for batch in BATCHES[tagger.device.type]:
        pixels = torch.randn(batch, 3, 384, 384).to(device, tagger.dtype)
        small = torch.randn(batch, 3, 224, 224, device=device)
        tokens = tagger.network.encode(pixels)
        parts = {
            "encoder": partial(tagger.network.encode, pixels),
            "decoder": partial(tagger.network.score, tokens, tagger.bank),
            "CLIP": partial(tagger.clip.embed_pixels, small),
        }
        for name, work in parts.items():
            seconds = median_seconds(partial(_finished, work, device), 3) / batch
            what = f"{name}, {batch} photos together"
            yield Figure(PART, what, seconds, "s/photo", WORK[name] / rate, "matrix rate")
    yield Figure(PART, "plain float32, one by one", plain, "s/photo", WHOLE / rate, "matrix rate")


def _finished(work: Callable[[], object], device: str) -> None:
    work()
    finish(device)


def _whole_run(bench: Bench, files: list[Path], plain: float) -> Iterator[Figure]:
    assert bench.model is not None
    few = bench.folder / "few"
    few.mkdir(exist_ok=True)
    for file in files[:FEW]:
        shutil.copy(file, few)
    before = matrix_rate(torch.bfloat16, bench.device)
    short, low = _index(bench, bench.model, few)
    long, high = _index(bench, bench.model, files[0].parent)
    rate = max(before, matrix_rate(torch.bfloat16, bench.device))
    seconds = (long - short) / (len(files) - FEW)  # without what a run takes before the first photo
    yield Figure(PART, "whole index run", seconds, "s/photo", plain, "plain float32", "<= 0.25 x")
    limit = WHOLE / rate
    yield Figure(
        *(PART, "of the matrix-rate limit, whole run", limit / seconds, "of 1", limit / plain),
        *("plain float32", ">= 0.8"),
    )
    yield Figure(
        *(PART, f"peak memory, {len(files)} photos", high / 2**20, "GiB", low / 2**20),
        *(f"{FEW} photos", "<= 3 GB, flat"),
    )


def _index(bench: Bench, model: Path, folder: Path) -> tuple[float, int]:
    """Seconds and peak memory in KiB of `photoindex index`, the processes that decode included."""
    library = bench.folder / "tagged"
    shutil.rmtree(library, ignore_errors=True)
    program = Path(sys.executable).with_name("photoindex")
    words = [program, "--library", library, "index", folder, "--model", model]
    words += ["--device", bench.device]
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_peak_memory, [process.pid, *_children(process.pid)])))
        time.sleep(0.05)
    assert process.returncode == 0
    return time.perf_counter() - start, peak


def _children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task")
    try:
        told = [(thread / "children").read_text() for thread in threads.iterdir()]
    except OSError:
        return []
    return [int(child) for words in told for child in words.split()]


def _peak_memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def photos(folder: Path, count: int) -> list[Path]:
    """JPEGs of 12 megapixels and about 4 MB, soft and rough in parts as photos are."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number:03}.jpg" for number in range(count)]
    for number, file in enumerate(files):
        if not file.exists():
            _photo(number).save(file, quality=91)
    return files


def _photo(seed: int) -> Image.Image:
    chance, size = np.random.default_rng(seed), (4000, 3000)
    picture = chance.standard_normal((size[1], size[0], 1)).astype(np.float32) * 8 + 120
    for patches in (4, 16, 64, 256, 1024):
        colours = chance.standard_normal((3, patches * 3 // 4, patches)).astype(np.float32)
        scaled = [np.asarray(Image.fromarray(c).resize(size, 3)) for c in colours]
        picture = picture + np.stack(scaled, axis=-1) * 60 / (patches / 4) ** 0.55
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))
