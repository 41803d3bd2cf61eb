"""What a search gives back."""

from __future__ import annotations

from dataclasses import dataclass

from photoindex.photo import PhotoRecord, PhotoTag


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a photo is where it is; None for what the search did not look at.

    similarity: cosine between the photo's embedding and the label embedding, -1..1;
    noise_floor: the median similarity of the whole library to this query;
    standing: how many deviations of the library's own spread the similarity lies above that;
    probability: the alignment decoder's, 0..1; usual_probability: its median over the library;
    tag_probability: the least of the asked tags'.
    """

    similarity: float | None = None
    noise_floor: float | None = None
    standing: float | None = None
    probability: float | None = None
    usual_probability: float | None = None
    tag_probability: float | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One photo found. score: 0..1, only for ordering; relevant: above the query's own cut."""

    photo: PhotoRecord
    score: float
    relevant: bool
    matching: tuple[PhotoTag, ...]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What was understood and what was found, best first.

    tags: the tags that words were taken for; concept: the free text scored as an open-set
    concept, None where tags and filters were enough; found: how many there are, of which `hits`
    are the first; below: photos that were looked at and fell under the query's cut.
    """

    hits: tuple[Hit, ...]
    tags: tuple[str, ...]
    concept: str | None
    found: int
    below: int
