"""What is damaged is found, what can be made again is mended, and nothing else is touched."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from cared import DERIVED, Cared, notes, problems

from photoindex import Library
from photoindex.errors import LibraryError
from photoindex.locks import hold

FIRST = "(SELECT min(id) FROM analyses)"
DERIVED_DAMAGE = {
    "tags changed": (
        "tags by tag",
        "UPDATE tag_postings SET probabilities = zeroblob(length(probabilities))"
        " WHERE source = 'model'",
    ),
    "tags lost": ("tags by tag", "DELETE FROM tag_postings WHERE source = 'model'"),
    "tags misshapen": (
        "tags by tag",
        "UPDATE tag_postings SET offsets = x'010203' WHERE source = 'model'",
    ),
    "tags of no photo": (
        "tags by tag",
        "INSERT INTO tag_postings (tag_id, source, model_id, chunk, offsets, probabilities)"
        " SELECT tag_id, source, model_id, chunk + 7, offsets, probabilities"
        " FROM tag_postings WHERE source = 'model'",
    ),
    "analysed forgotten": ("analysed photos", "UPDATE analysed_chunks SET photos = zeroblob(512)"),
    "analysed misshapen": ("analysed photos", "UPDATE analysed_chunks SET photos = x'00'"),
    "photos forgotten": ("photos' times", "UPDATE photo_chunks SET live = zeroblob(512)"),
    "times lost": ("photos' times", "DELETE FROM photo_chunks"),
    "times due": ("photos' times", "INSERT INTO touched_photos (photo_id) VALUES (1)"),
    "tokens of nothing": (
        "references",
        "INSERT INTO image_tokens VALUES (99999, x'00', x'00000000', 1)",
    ),
    "unscored of nothing": ("references", "INSERT INTO unscored VALUES (1, 1, 99999)"),
}


@pytest.mark.parametrize("name", DERIVED_DAMAGE)
def test_what_is_derived_is_made_again(cared: Cared, name: str) -> None:
    check, damage = DERIVED_DAMAGE[name]
    before = {table: cared.rows(table) for table in DERIVED}
    answers = [cared.found(query) for query in ("tag:cat", "sleepy cat", "after:2000")]
    with cared.sql() as connection:
        assert connection.execute(damage).rowcount > 0
    damaged = cared.state()
    assert problems(cared.examine())[check].mend is not None
    assert cared.state() == damaged
    report = cared.repair()
    assert report.sound
    assert report.mended
    assert {table: cared.rows(table) for table in DERIVED} == before
    assert [cared.found(query) for query in ("tag:cat", "sleepy cat", "after:2000")] == answers


@pytest.mark.parametrize("name", DERIVED_DAMAGE)
def test_until_then_questions_are_answered_or_lead_to_it(cared: Cared, name: str) -> None:
    with cared.sql() as connection:
        connection.execute(DERIVED_DAMAGE[name][1])
    with Library.open(cared.settings) as library:
        for ask in (
            library.status,
            library.tags,
            lambda: library.search("tag:cat"),
            lambda: library.search("sleepy cat"),
            lambda: library.search("after:2000"),
        ):
            try:
                ask()
            except LibraryError as error:
                assert "doctor --repair" in str(error)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE analysis_tags SET tag_ids = x'0102' WHERE analysis_id = " + FIRST,
        "UPDATE analysis_tags SET probabilities = x'' WHERE analysis_id = " + FIRST,
        "DELETE FROM analysis_tags",
    ],
)
def test_unreadable_tags_are_filled_in_from_the_other_table(cared: Cared, damage: str) -> None:
    answer = cared.found("tag:cat")
    with cared.sql() as connection:
        connection.execute(damage)
    assert "tags by photo" in problems(cared.examine())
    assert cared.repair().sound
    assert cared.found("tag:cat") == answer


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE analyses SET embedding = zeroblob(length(embedding)) WHERE id = " + FIRST,
        "UPDATE analyses SET embedding = CAST(x'0000c07f' || substr(embedding, 5) AS BLOB)"
        " WHERE id = " + FIRST,
        "UPDATE analyses SET embedding = substr(embedding, 5) WHERE id = " + FIRST,
        "DELETE FROM image_tokens",
        'UPDATE image_tokens SET "values" = substr("values", 2) WHERE analysis_id = ' + FIRST,
        "UPDATE image_tokens SET scales = zeroblob(length(scales)) WHERE analysis_id = " + FIRST,
    ],
)
def test_analyses_that_cannot_be_right_are_made_again_by_the_next_index_run(
    cared: Cared, damage: str
) -> None:
    answers = [cared.found("tag:cat"), cared.found("sleepy cat"), cared.found("tag:mine")]
    with cared.sql() as connection:
        connection.execute(damage)
    assert "analyses" in problems(cared.examine())
    assert cared.repair().sound
    cared.index()
    report = cared.examine()
    assert report.sound and not notes(report, "photos")
    assert [cared.found("tag:cat"), cared.found("sleepy cat"), cared.found("tag:mine")] == answers


def test_analyses_of_photos_that_are_away_are_kept(cared: Cared) -> None:
    with cared.sql() as connection:
        connection.execute("UPDATE files SET state = 'offline'")
        connection.execute("DELETE FROM touched_photos")
        connection.execute("DELETE FROM image_tokens")
    before = cared.rows("analyses")
    report = cared.repair()
    assert "bring back the disk" in problems(report)["analyses"].advice
    assert cared.rows("analyses") == before


def test_what_a_concept_cannot_have_said_is_scored_again(cared: Cared) -> None:
    said = cared.found('tag:"sleepy pet"')
    assert said
    with cared.sql() as connection:
        connection.execute(
            "UPDATE tag_postings SET probabilities = CAST(x'0000c07f'"
            " || substr(probabilities, 5) AS BLOB) WHERE source = 'concept'"
        )
    assert "concepts' figures" in problems(cared.examine())
    report = cared.repair()
    assert report.sound
    assert notes(report, "concepts")
    cared.index()
    assert cared.found('tag:"sleepy pet"') == said


def test_a_tag_of_the_users_is_never_deleted(cared: Cared) -> None:
    before = cared.rows("photo_tags")
    with cared.sql() as connection:
        connection.execute("UPDATE photo_tags SET photo_id = 99999")
        connection.execute("INSERT INTO image_tokens VALUES (99999, x'00', x'00000000', 1)")
    report = cared.repair()
    assert "photoindex restore" in problems(report)["references"].advice
    assert len(cared.rows("photo_tags")) == len(before) == 1


def test_a_file_of_a_photo_that_is_gone_is_read_again(cared: Cared) -> None:
    with cared.sql() as connection:
        connection.execute("UPDATE files SET photo_id = 99999 WHERE path LIKE '%lions.jpg'")
    assert cared.repair().sound
    cared.index()
    assert any(path.endswith("lions.jpg") for path, _ in cared.found("after:2000"))


def test_a_damaged_vector_index_is_made_again(cared: Cared) -> None:
    (index,) = cared.folder.glob("vectors-*.faiss")
    answer = cared.found("sleepy cat")
    content = bytearray(index.read_bytes())
    content[-5] ^= 0xFF
    index.write_bytes(content)
    assert "checksum" in problems(cared.examine())["vector index"].found
    assert cared.repair().sound
    assert index.read_bytes() != bytes(content)
    assert cared.found("sleepy cat") == answer


def test_a_vector_index_of_other_embeddings_is_made_again(cared: Cared) -> None:
    with cared.sql() as connection:
        for number, blob in connection.execute("SELECT id, embedding FROM analyses").fetchall():
            turned = np.roll(np.frombuffer(blob, dtype="<f4"), 3).tobytes()
            connection.execute("UPDATE analyses SET embedding = ? WHERE id = ?", (turned, number))
    assert "embeddings are others" in problems(cared.examine())["vector index"].found
    assert cared.repair().sound


def test_vector_indexes_of_models_not_in_use_are_deleted(cared: Cared) -> None:
    other = cared.folder / "vectors-other-0000.faiss"
    other.write_bytes(b"")
    assert notes(cared.examine(), "vector index")
    cared.repair()
    assert not other.exists()
    assert len(list(cared.folder.glob("vectors-*"))) == 2


@pytest.mark.parametrize("lock", [False, True])  # a killed process leaves its lock's file as well
def test_leftovers_are_deleted_and_what_may_be_in_use_or_wanted_is_not(
    cared: Cared, lock: bool
) -> None:
    if lock:
        (cared.folder / "search.lock").touch(0o600)
    old, fresh = cared.folder / "vectors-old.aside", cared.folder / "vectors-new.aside"
    copy = cared.folder / "catalog.db.before-0003"
    for path in (old, fresh, copy):
        path.write_bytes(b"")
        path.chmod(0o600)
    os.utime(old, (time.time() - 90_000,) * 2)
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(cared.folder / "search.sock"))
    left.close()
    (cared.folder / "watch.json").write_text("{}")
    (told, of_copy) = notes(cared.examine(), "leftovers")
    assert "search.sock" in told.found and "watch.json" in told.found
    assert copy.name in of_copy.found
    cared.repair()
    assert {path.name for path in cared.folder.glob("*.aside")} == {fresh.name}
    assert copy.exists()
    assert not (cared.folder / "search.sock").exists()
    assert not (cared.folder / "watch.json").exists()


def test_permissions_of_others_are_taken_away(cared: Cared) -> None:
    cared.folder.chmod(0o777)
    cared.database.chmod(0o644)
    assert "permissions" in problems(cared.examine())
    assert cared.repair().sound
    assert cared.folder.stat().st_mode & 0o777 == 0o700
    assert cared.database.stat().st_mode & 0o777 == 0o600


def test_nothing_is_mended_beside_a_watcher(cared: Cared) -> None:
    with cared.sql() as connection:
        connection.execute("DELETE FROM photo_chunks")
    before = cared.database.read_bytes()
    with hold(cared.folder / "watch.lock"):
        assert "photos' times" in problems(cared.examine())
        with pytest.raises(LibraryError, match="already watched"):
            cared.repair()
    assert cared.database.read_bytes() == before
    assert cared.repair().sound


def test_all_at_once(cared: Cared, tmp_path: Path) -> None:
    answer = cared.found("tag:cat")
    with cared.sql() as connection:
        for _, damage in DERIVED_DAMAGE.values():
            connection.execute(damage)
        connection.execute("UPDATE analysis_tags SET tag_ids = x'01' WHERE analysis_id = " + FIRST)
        connection.execute("DELETE FROM image_tokens WHERE analysis_id = " + FIRST)
    assert cared.repair().sound
    cared.index()
    assert cared.examine().sound
    photos_without_figures = 1  # the one whose tags were lost in both tables is analysed again
    assert len(cared.found("tag:cat")) >= len(answer) - photos_without_figures
