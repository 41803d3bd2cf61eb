"""The bundled model in another space: it says the same of pictures, by embeddings of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from ram_tagger.sources import BUNDLED


def write_turned_model(folder: Path, width: int, seed: int = 1) -> None:
    """A model folder whose embeddings and tokens are the bundled model's, turned by chance.

    width: of its embeddings, as many numbers as the bundled model's have, or more.
    """
    shutil.copytree(BUNDLED, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    own = config["clip"]["embedding_width"]
    random = np.random.default_rng(seed).standard_normal((width, width))
    turn = np.linalg.qr(random).Q[:own]  # rows of unit length, at right angles to each other
    into = ("image_proj", "visual.head.proj", "text_projection", "embeddings")
    out_of = ("wordvec_proj.weight", "key.weight", "value.weight")
    for name in ("model", "clip", "labels"):
        path = folder / f"{name}.safetensors"
        tensors = {
            key: tensor.astype(np.float32) if tensor.dtype == np.float16 else tensor
            for key, tensor in load_file(path).items()
        }
        for key, tensor in tensors.items():
            if key.endswith(out_of):
                tensors[key] = (tensor @ turn).astype(np.float32)
            elif any(part in key for part in into):
                by_row = key in ("text.text_projection", "embeddings") or tensor.ndim == 1
                turned = tensor @ turn if by_row else turn.T @ tensor
                tensors[key] = turned.astype(np.float32)
        save_file({key: tensor.copy(order="C") for key, tensor in tensors.items()}, path)
    config["ram"]["embedding_width"] = config["clip"]["embedding_width"] = width
    config["name"], config["digest"] = "turned", f"{width}-{seed}"
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
