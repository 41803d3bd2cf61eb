"""What the library answers, as tables and lines for people; `documents` is the same for programs.

Records come in, text goes to standard output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from photoindex.photo import FileState, Source
from photoindex.terminal.tables import Column, print_lines, print_table
from photoindex.terminal.wording import count, shown, size

if TYPE_CHECKING:
    from photoindex.analysis.installed import ModelState
    from photoindex.catalog.records import (
        ConceptRecord,
        FileRecord,
        FolderRecord,
        PhotoRecord,
        PhotoTag,
        Status,
        TagCount,
    )
    from photoindex.search.results import Hit, SearchResult

_SAYS = {
    Source.MODEL: "model",
    Source.CONCEPT: "concept",
    Source.USER: "you",
    Source.IMPORTED: "import",
}


def place(photo: PhotoRecord, below: Path | None = None) -> str:
    """The first file of a photo, relative to a folder where that is wanted and possible."""
    if not photo.files:
        return "(no file)"
    path = photo.files[0]
    return str(path.relative_to(below) if below and path.is_relative_to(below) else path)


def understood(result: SearchResult, like: Path | None = None) -> str:
    """How a query was understood, in one line."""
    if like is not None:
        return f"as photos like {shown(like)}"
    if result.concept is not None:
        return f"as a concept: {shown(result.concept)}"
    if result.tags:
        return f"as {'tag' if len(result.tags) == 1 else 'tags'}: {shown(', '.join(result.tags))}"
    return "as filters: the newest photos first"


def nothing(result: SearchResult) -> str:
    """That nothing was found, and what was nearly."""
    if not result.below:
        return "nothing found"
    lie = "lies" if result.below == 1 else "lie"
    return f"nothing found; {count(result.below, 'photo')} {lie} below the cut: --all shows them"


def hits(found: Sequence[Hit], below: Path | None = None) -> None:
    """Search results: score, path, matching tags."""
    rows = [
        (f"{hit.score:.2f}", place(hit.photo, below), ", ".join(map(_tag, hit.matching)))
        for hit in found
    ]
    print_table([Column("score", right=True), Column("photo", style="bold"), Column("tags")], rows)


def hits_explained(found: Sequence[Hit]) -> None:
    """Search results, each with what it rests on."""
    for hit in found:
        more = len(hit.photo.files) - 1
        also = f"  (and {count(more, 'other file')})" if more > 0 else ""
        print_lines([f"{hit.score:.2f}  {shown(place(hit.photo))}{also}"])
        print_lines([f"      {reason}" for reason in _reasons(hit)])


def _reasons(hit: Hit) -> Iterator[str]:
    evidence = hit.evidence
    if evidence.similarity is not None:
        reason = f"similarity {evidence.similarity:.3f}"
        if evidence.noise_floor is not None and evidence.standing is not None:
            side = "above" if evidence.standing >= 0 else "below"
            reason += (
                f", {abs(evidence.standing):.1f} deviations {side} the noise floor of "
                f"{evidence.noise_floor:.3f} that this library has for the query"
            )
        yield reason
    if evidence.probability is not None:
        usual = evidence.usual_probability
        beside = "" if usual is None else f", where {usual:.2f} is usual in this library"
        yield f"alignment decoder: probability {evidence.probability:.2f}{beside}"
    if evidence.tag_probability is not None:
        yield f"the least probable of the tags asked for: {evidence.tag_probability:.2f}"
    for tag in hit.matching:
        limit = "" if tag.threshold is None else f", shown from {tag.threshold:.2f}"
        yield f"tag {_named(tag)} {tag.probability:.2f} (by {_SAYS[tag.source]}{limit})"
    if not hit.relevant:
        yield "below the cut for this query"


def photo_tags(tags: Sequence[PhotoTag], indent: str = "") -> None:
    """One photo's tags in both languages."""
    rows = [
        (
            tag.name,
            tag.name_zh or "",
            f"{tag.probability:.2f}",
            "" if tag.threshold is None else f"{tag.threshold:.2f}",
            _SAYS[tag.source],
        )
        for tag in tags
    ]
    columns = [
        Column("tag", style="bold"),
        Column("中文"),
        Column("probability", right=True),
        Column("threshold", right=True),
        Column("by"),
    ]
    print_table(columns, rows, indent)


def tag_counts(counts: Sequence[TagCount]) -> None:
    """The library's tags and how many photos show each."""
    rows = [(f"{item.photos:,}", item.tag.name, item.tag.name_zh or "") for item in counts]
    print_table([Column("photos", right=True), Column("tag", style="bold"), Column("中文")], rows)


def concepts(records: Sequence[ConceptRecord]) -> None:
    """All concepts, one a row."""
    rows = [
        (
            record.concept.name,
            record.concept.name_zh or "",
            f"{record.concept.threshold:.2f}",
            f"{record.matched:,} of {record.scored:,}",
            str(len(record.concept.descriptions) or "templates"),
        )
        for record in records
    ]
    columns = [
        Column("concept", style="bold"),
        Column("中文"),
        Column("threshold", right=True),
        Column("photos", right=True),
        Column("descriptions", right=True),
    ]
    print_table(columns, rows)


def concept(record: ConceptRecord) -> None:
    """One concept with its descriptions."""
    lines = [matched(record)]
    if record.concept.name_zh:
        lines.append(f"  中文: {shown(record.concept.name_zh)}")
    if not record.concept.descriptions:
        lines.append("  no descriptions: the model's prompt templates stand for it")
    lines.extend(f"  - {shown(text)}" for text in record.concept.descriptions)
    print_lines(lines)


def matched(record: ConceptRecord) -> str:
    """How many photos show a concept, in one line."""
    return (
        f"{shown(record.concept.name)}: {record.matched:,} of {count(record.scored, 'photo')} "
        f"match (threshold {record.concept.threshold:.2f})"
    )


def failures(records: Sequence[FileRecord]) -> None:
    """Files that cannot be read, with the reasons."""
    rows = [(str(record.path), record.failure or "") for record in records]
    print_table([Column("file", style="bold"), Column("reason")], rows)


def status(figures: Status, folders: Sequence[FolderRecord], library: Path) -> None:
    """Everything there is to count, one figure a line."""
    files = [
        f"{figures.files.get(state, 0):,} {state.value}"
        for state in FileState
        if figures.files.get(state, 0)
    ]
    rows = [
        ("library", str(library)),
        *(("folder", f"{f.path}{'' if f.online else '  (offline)'}") for f in folders),
        ("photos", f"{figures.photos:,}"),
        ("files", ", ".join(files) or "0"),
        ("unreadable files", f"{figures.failures:,}"),
        *(("model", _model(model.name, model.analyses, model.active)) for model in figures.models),
        ("awaiting analysis", f"{figures.awaiting:,}"),
        ("tags", f"{figures.tags:,}"),
        ("concepts", f"{figures.concepts:,}"),
        ("database", f"{size(figures.database_bytes)}, {size(figures.token_bytes)} image tokens"),
    ]
    width = max(len(name) for name, _ in rows)
    print_lines([f"{name:<{width}}  {shown(value)}" for name, value in rows])


def models(states: Sequence[ModelState], default: str) -> None:
    """Models that are here or could be."""
    rows = [
        (
            state.name + (" (default)" if state.name == default else ""),
            "here" if state.folder is not None else "to be pulled",
            size(state.size),
            state.summary,
        )
        for state in states
    ]
    columns = [
        Column("model", style="bold"),
        Column("state"),
        Column("size", right=True),
        Column("what it is"),
    ]
    print_table(columns, rows)


def _model(name: str, analyses: int, active: bool) -> str:
    return f"{name}: {count(analyses, 'photo')} analysed{', in use' if active else ''}"


def _named(tag: PhotoTag) -> str:
    return shown(f"{tag.name} {tag.name_zh}" if tag.name_zh else tag.name)


def _tag(tag: PhotoTag) -> str:
    return tag.name if tag.source is Source.USER else f"{tag.name} {tag.probability:.2f}"
