"""RAM++ (Recognize Anything Plus): open-set picture tags in English and Chinese.

from pathlib import Path
import ram_tagger

tagger = ram_tagger.load(Path("models/sketch"))
for prediction in tagger.predict(["cat.jpg"]):
    print(tagger.tags(prediction))
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from photoindex.tagger import Tag
    from ram_tagger.predict import Prediction, RamTagger

__all__ = ["Prediction", "RamTagger", "Tag", "load"]


def load(folder: Path | str, device: str = "auto", precision: str = "auto") -> RamTagger:
    """Open a model folder; imports torch only now. Raises CheckpointError, RamTaggerError."""
    from ram_tagger.predict import RamTagger

    return RamTagger.load(Path(folder), device, precision)


def __getattr__(name: str) -> Any:
    if name in {"RamTagger", "Prediction"}:
        from ram_tagger import predict

        return getattr(predict, name)
    if name == "Tag":
        from photoindex.tagger import Tag

        return Tag
    raise AttributeError(name)
