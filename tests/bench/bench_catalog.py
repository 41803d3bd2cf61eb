"""The catalog from a thousand photos to a million: growing it, and asking it.

The baseline of a question about tags is the same question as one SQL join over a table of plain
rows (tag, photo, probability), keyed as the join likes it best, in a database of its own.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from itertools import islice, repeat
from pathlib import Path

import numpy as np
import stored_library
from figures import Bench, Figure, median_seconds

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.postings import photos_of
from photoindex.catalog.records import PhotoFilter

PART = "catalog"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
TOKENS_OF = 2_000  # photos whose full-size tokens are streamed

_PLAIN = """
    CREATE TABLE photo_tags (
        tag_id INTEGER, photo_id INTEGER, probability REAL, PRIMARY KEY (tag_id, photo_id)
    ) WITHOUT ROWID"""
_BOTH = """
    SELECT first.photo_id, min(first.probability, second.probability)
    FROM photo_tags AS first JOIN photo_tags AS second ON second.photo_id = first.photo_id
    WHERE first.tag_id = ? AND second.tag_id = ? AND first.probability >= ?
    AND second.probability >= ? AND NOT EXISTS (
        SELECT 1 FROM photo_tags AS third WHERE third.tag_id = ?
        AND third.photo_id = first.photo_id AND third.probability >= ?
    )"""
_COUNTS = "SELECT tag_id, count(*) FROM photo_tags WHERE probability >= ? GROUP BY tag_id"


def measure(bench: Bench) -> Iterator[Figure]:
    """Grow one library, stop at each size, measure; ask questions of the largest."""
    yield _importing()
    path = bench.folder / "growing.db"
    sizes = [size for size in SIZES if size <= bench.photos]
    first: dict[str, float] = {}
    for size in sizes:
        bench.log(f"{PART}: {size:,} photos")
        with Catalog.open(path) as catalog:
            stored_library.grow(catalog, size)
            bytes_a_photo = catalog.status().database_bytes / size
            found = {
                f"{batch} photos at once": (_inserting(catalog, batch), "photos/s")
                for batch in (4, 32)
            }
            for what, asked in (
                ("the two commonest tags", _two_tags(catalog)),
                ("the newest 20", _newest(catalog)),
            ):
                found[what] = (median_seconds(asked) * 1e3, "ms")
        found["bytes a photo"] = (bytes_a_photo, "bytes")
        found["opening"] = (median_seconds(lambda: Catalog.open(path).close()) * 1e3, "ms")
        for what, (value, unit) in found.items():
            first.setdefault(what, value)
            label = f"recording {what}" if unit == "photos/s" else what
            yield Figure(
                PART, f"{label}, {size:,} photos", value, unit, first[what], "at the smallest size"
            )
    with Catalog.open(path) as catalog:
        yield from _asking(catalog, bench)
    yield _streaming(bench)


def _importing() -> Figure:
    """What a process pays before it can open a library."""

    def cold(code: str) -> float:
        return median_seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True), 5)

    bare = cold("import numpy")
    return Figure(
        PART,
        "importing the catalog in a new process",
        (cold("import photoindex.catalog.catalog") - bare) * 1e3,
        "ms",
        (cold("import numpy, sqlalchemy") - bare) * 1e3,
        "importing SQLAlchemy; both beside importing NumPy",
    )


def _two_tags(catalog: Catalog) -> Callable[[], object]:
    tags = tuple((catalog.tags.find(f"tag {rank:04}")[0].id,) for rank in (0, 1))
    return lambda: catalog.photos.select(PhotoFilter(all_of=tags))


def _newest(catalog: Catalog) -> Callable[[], object]:
    return lambda: catalog.photos.newest(catalog.photos.select(PhotoFilter()), 20)


def _inserting(catalog: Catalog, batch: int) -> float:
    """Photos a second, in transactions of some."""
    made = catalog.analyses.state(stored_library.MODEL).count
    blocks = list(stored_library.analyses(made, made + 40 * batch, block=batch))
    start = time.perf_counter()
    for block in blocks:
        catalog.analyses.record(block, stored_library.MODEL)
    return 40 * batch / (time.perf_counter() - start)


def _asking(catalog: Catalog, bench: Bench) -> Iterator[Figure]:
    path = bench.folder / "plain.db"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as plain:
        _fill_plain(catalog, plain)
        yield from _by_tags(catalog, plain)
    path.unlink()
    yield from _by_filters(catalog)
    yield from _by_ids(catalog)


def _fill_plain(catalog: Catalog, plain: sqlite3.Connection) -> None:
    plain.execute(_PLAIN)
    with catalog._database.read() as connection:
        for tag in sorted(count.tag.id for count in catalog.tags.counts()):
            for part in photos_of(connection, tag):
                photos, probabilities = part.photo_ids.tolist(), part.probabilities.tolist()
                plain.executemany(
                    "INSERT INTO photo_tags VALUES (?, ?, ?)",
                    zip(repeat(tag), photos, probabilities, strict=False),
                )
    plain.commit()


def _by_tags(catalog: Catalog, plain: sqlite3.Connection) -> Iterator[Figure]:
    common, second, third, rare = (
        catalog.tags.find(f"tag {rank:04}")[0].id for rank in (0, 1, 2, 3000)
    )

    def ours(wanted: PhotoFilter) -> Callable[[], object]:
        def ask() -> object:
            ids = catalog.photos.select(wanted)
            return [catalog.photos.probability(ids, group) for group in wanted.all_of]

        return ask

    def join(one: int, other: int, without: int, least: float) -> Callable[[], object]:
        return lambda: plain.execute(_BOTH, (one, other, least, least, without, least)).fetchall()

    usual = stored_library.THRESHOLD
    against = "one SQL join over plain rows"
    for what, wanted, baseline in (
        (
            "the two commonest tags",
            PhotoFilter(all_of=((common,), (second,))),
            join(common, second, -1, usual),
        ),
        (
            "the two commonest tags without a third",
            PhotoFilter(all_of=((common,), (second,)), none_of=(third,)),
            join(common, second, third, usual),
        ),
        (
            "the two commonest tags from probability 0.8 on",
            PhotoFilter(all_of=((common,), (second,)), min_probability=0.8),
            join(common, second, -1, 0.8),
        ),
        (
            "a common and a rare tag",
            PhotoFilter(all_of=((common,), (rare,))),
            join(rare, common, -1, usual),
        ),
    ):
        value = median_seconds(ours(wanted)) * 1e3
        yield Figure(
            PART, what, value, "ms", median_seconds(baseline, 3) * 1e3, against, "50 ms at most"
        )
    yield Figure(
        PART,
        "the counts of all tags",
        median_seconds(catalog.tags.counts, 3) * 1e3,
        "ms",
        median_seconds(lambda: plain.execute(_COUNTS, (usual,)).fetchall(), 3) * 1e3,
        "GROUP BY over plain rows",
    )


def _by_filters(catalog: Catalog) -> Iterator[Figure]:
    """Filters without a tag to order by: select, then the newest twenty."""
    tag = catalog.tags.find("tag 0000")[0].id
    with catalog._database.read() as connection:
        (plain,) = connection.execute("SELECT count(*) FROM photos").fetchone()
    middle = datetime(2005, 1, 1) + (datetime(2005, 1, 2) - datetime(2005, 1, 1)) * (
        plain * 11 / 1440 / 2
    )

    def everything_by_sql() -> object:
        with catalog._database.read() as connection:
            return connection.execute(
                "SELECT id FROM photos WHERE taken_at >= ? ORDER BY taken_at DESC",
                (middle.isoformat(" "),),
            ).fetchall()

    baseline = median_seconds(everything_by_sql, 3) * 1e3
    for what, wanted in (
        ("no filter", PhotoFilter()),
        ("after: half of the photos", PhotoFilter(after=middle)),
        ("in: one folder of a thousand", PhotoFilter(folders=(Path("/photos/00000"),))),
        ("in: the folder of all", PhotoFilter(folders=(Path("/photos"),))),
        ("without the commonest tag", PhotoFilter(none_of=(tag,))),
    ):
        yield Figure(
            PART,
            f"{what}, the newest 20 in front",
            median_seconds(
                lambda wanted=wanted: catalog.photos.newest(catalog.photos.select(wanted), 20)
            )
            * 1e3,
            "ms",
            baseline,
            "SELECT … ORDER BY over half of the photos",
            "500 ms at most",
        )


def _by_ids(catalog: Catalog) -> Iterator[Figure]:
    model = stored_library.MODEL
    ids = catalog.analyses.photo_ids(model)
    random = np.random.default_rng(0)
    twenty, some = random.choice(ids, 20), random.choice(ids, 300)

    def ids_by_sql() -> object:
        with catalog._database.read() as connection:
            return connection.execute("SELECT photo_id FROM analyses").fetchall()

    def embeddings_by_sql() -> object:
        marks = ",".join("?" * len(some))
        with catalog._database.read() as connection:
            return connection.execute(
                f"SELECT embedding FROM analyses WHERE photo_id IN ({marks})",
                some.tolist(),
            ).fetchall()

    for what, ours, plain, against, wanted in (
        (
            "the ids of all photos",
            lambda: catalog.analyses.photo_ids(model),
            ids_by_sql,
            "SELECT over the analyses",
            "10 ms at most",
        ),
        (
            "300 embeddings",
            lambda: catalog.analyses.embeddings_of(model, some),
            embeddings_by_sql,
            "SELECT … IN, not unpacked",
            "5 ms at most",
        ),
        ("20 photos", lambda: catalog.photos.many(twenty), None, "", ""),
        ("the tags of 20 photos", lambda: catalog.tags.of(twenty), None, "", ""),
        (
            "100,000 files of a folder",
            lambda: deque(islice(catalog.files.known_under(Path("/photos")), 100_000), 0),
            None,
            "",
            "",
        ),
    ):
        yield Figure(
            PART,
            what,
            median_seconds(ours) * 1e3,
            "ms",
            None if plain is None else median_seconds(plain, 3) * 1e3,
            against,
            wanted,
        )


def _streaming(bench: Bench) -> Figure:
    """Tokens of full size, from the page cache, beside reading a file of as many bytes."""
    path = stored_library.build(bench.folder, TOKENS_OF, stored_library.FULL)
    size = TOKENS_OF * stored_library.FULL[0] * (stored_library.FULL[1] + 4)
    plain = bench.folder / "tokens.bin"
    plain.write_bytes(b"\1" * size)
    with Catalog.open(path) as catalog:
        ours = median_seconds(
            lambda: sum(len(block) for _, block in catalog.analyses.stored(stored_library.MODEL)),
            3,
        )
    beside = median_seconds(plain.read_bytes, 3)
    plain.unlink()
    return Figure(
        PART,
        "reading stored tokens",
        size / ours / 1e6,
        "MB/s",
        size / beside / 1e6,
        "reading a file of as many bytes",
        "800 MB/s at least",
    )
