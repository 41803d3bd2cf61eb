"""Which files a scan finds, and which it leaves alone."""

import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from photoindex.photos.formats import HEAD_SIZE, sniff
from photoindex.photos.walk import Pruning, Scan, stamp_of


def put(path: Path, content: bytes = b"\xff\xd8\xff picture") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(folder: Path, *excludes: str) -> list[str]:
    return [str(found.path.relative_to(folder)) for found in Scan(folder, excludes)]


def test_finds_pictures_in_order_with_their_stamps(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "sub/z.heic", "sub/deeper/y.webp", "c.jp2"):
        put(tmp_path / name)
    assert names(tmp_path) == ["a.PNG", "b.jpg", "c.jp2", "sub/deeper/y.webp", "sub/z.heic"]
    for found in Scan(tmp_path):
        status = found.path.stat()
        assert found.path.is_absolute()
        assert found.stamp == stamp_of(found.path)
        assert (found.stamp.size, found.stamp.mtime_ns) == (status.st_size, status.st_mtime_ns)
        assert (found.stamp.inode, found.stamp.device) == (status.st_ino, status.st_dev)


def test_the_order_is_that_of_whole_paths(tmp_path: Path) -> None:
    wanted = ["a b.jpg", "a-b.jpg", "a.jpg", "a/0.jpg", "a/b-c.jpg", "a/b/c.jpg", "a0.jpg", "b.jpg"]
    for name in reversed(wanted):
        put(tmp_path / name)
    assert names(tmp_path) == wanted


# Names around the slash in the order of bytes, and bytes that are no UTF-8.
ANY = st.binary(min_size=1, max_size=3).filter(lambda name: not {0, 47} & {*name})
CLOSE = st.lists(st.sampled_from(b"ab -.0\xff"), min_size=1, max_size=3).map(bytes)
NAMES = st.one_of(ANY, CLOSE).filter(lambda name: not name.startswith(b"."))


@given(st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=8))
def test_any_names_come_in_the_order_of_their_bytes(paths: list[list[bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        top, made = os.fsencode(folder), set()
        for *folders, name in paths:
            where = b"/".join([top, *folders])
            file = where + b"/" + name + b".jpg"
            try:
                Path(os.fsdecode(where)).mkdir(parents=True, exist_ok=True)
                Path(os.fsdecode(file)).write_bytes(b"")
                made.add(file)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                pass  # a file and a folder by the same name: there can be one
        scan = Scan(Path(folder))
        assert [row[0] for row in scan.rows()] == sorted(made)
        assert [os.fsencode(found.path) for found in scan] == sorted(made)
        assert scan.unreadable == []


def test_content_decides_where_the_extension_says_nothing(tmp_path: Path) -> None:
    put(tmp_path / "no_extension")
    put(tmp_path / "odd.xyz", b"\x89PNG\r\n\x1a\n....")
    put(tmp_path / "noise.xyz", b"nothing of the kind")
    put(tmp_path / "empty", b"")
    put(tmp_path / "raw.nef", b"II*\0 a raw camera file looks like TIFF")
    put(tmp_path / "loading.part")
    put(tmp_path / "film.mp4", b"\0\0\0\x18ftypheic")
    put(tmp_path / "wrong.jpg", b"text")  # named as a picture: shall be reported as unreadable
    assert names(tmp_path) == ["no_extension", "odd.xyz", "wrong.jpg"]


@pytest.mark.parametrize(
    "folder",
    [
        *("@eaDir", "@EADIR", "#recycle", "#snapshot", ".thumbnails", "lost+found", ".git"),
        *("System Volume Information", "$RECYCLE.BIN", "__MACOSX", "sub/@eaDir/IMG.jpg"),
    ],
)
def test_hidden_and_system_folders_are_not_entered(tmp_path: Path, folder: str) -> None:
    put(tmp_path / folder / "x.jpg")
    put(tmp_path / ".hidden.jpg")
    put(tmp_path / "._resource.jpg")
    assert names(tmp_path) == []


def test_a_folder_given_by_name_may_be_hidden_itself(tmp_path: Path) -> None:
    put(tmp_path / ".photos/x.jpg")
    assert names(tmp_path / ".photos") == ["x.jpg"]


def test_excludes_match_names_or_paths(tmp_path: Path) -> None:
    for name in ("keep.jpg", "a.gif", "drafts/x.jpg", "2019/raw/x.jpg", "2020/raw/x.jpg"):
        put(tmp_path / name)
    assert names(tmp_path, "*.gif", "drafts/") == ["2019/raw/x.jpg", "2020/raw/x.jpg", "keep.jpg"]
    assert "2019/raw/x.jpg" not in names(tmp_path, "2019/raw")
    assert "2020/raw/x.jpg" in names(tmp_path, "2019/raw")
    assert "2020/raw/x.jpg" not in names(tmp_path, f"{tmp_path}/20*/raw")


def test_excluded_folders_are_pruned_not_listed(tmp_path: Path) -> None:
    put(tmp_path / "drafts/deep/x.jpg")
    put(tmp_path / "kept/x.jpg")
    assert list(Scan(tmp_path, ["drafts"]).folders()) == [tmp_path, tmp_path / "kept"]


def test_patterns_relate_to_the_root_when_a_folder_inside_is_scanned(tmp_path: Path) -> None:
    put(tmp_path / "2019/raw/x.jpg")
    put(tmp_path / "2019/y.jpg")
    found = Scan(tmp_path / "2019", ["2019/raw"], root=tmp_path)
    assert [item.path.name for item in found] == ["y.jpg"]


def test_any_name_that_the_file_system_allows(tmp_path: Path) -> None:
    odd = [b"a b.jpg", b"new\nline.jpg", b"\xff\xfe.jpg", "猫.jpg".encode(), b"-n.jpg", b"'\".jpg"]
    for name in odd:
        put(tmp_path / os.fsdecode(name))
    assert sorted(os.fsencode(found.path.name) for found in Scan(tmp_path)) == sorted(odd)
    assert names(tmp_path, "new*line.jpg", "猫*").count("new\nline.jpg") == 0


def test_links(tmp_path: Path) -> None:
    outside = put(tmp_path / "outside/secret.jpg")
    folder = tmp_path / "folder"
    real = put(folder / "real.jpg")
    put(folder / ".cache/thumb.jpg")
    (folder / "album").mkdir()
    (folder / "album/cover.jpg").symlink_to(real)
    (folder / "leak.jpg").symlink_to(outside)
    (folder / "hidden.jpg").symlink_to(folder / ".cache/thumb.jpg")
    (folder / "dangling.jpg").symlink_to(folder / "nothing.jpg")
    (folder / "loop").symlink_to(folder)
    (folder / "away").symlink_to(outside.parent)
    found = Scan(folder)
    assert [str(item.path.relative_to(folder)) for item in found] == ["album/cover.jpg", "real.jpg"]
    assert found.unreadable == []
    (tmp_path / "shortcut").symlink_to(folder)
    assert names(tmp_path / "shortcut") == ["album/cover.jpg", "real.jpg"]


def test_only_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder.jpg").mkdir()
    put(tmp_path / "folder.jpg/inside.jpg")
    assert names(tmp_path) == ["folder.jpg/inside.jpg"]


def test_what_cannot_be_listed_is_reported(
    everybodys_folder: Path, as_ordinary_user: Callable[[], AbstractContextManager[None]]
) -> None:
    put(everybodys_folder / "open/x.jpg")
    closed = put(everybodys_folder / "closed/y.jpg").parent
    closed.chmod(0)
    with as_ordinary_user():
        found = Scan(everybodys_folder)
        assert [item.path.name for item in found] == ["x.jpg"]
        assert found.unreadable == [closed]
    closed.chmod(0o755)


def test_a_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    found = Scan(tmp_path / "unmounted")
    assert list(found) == []
    assert found.unreadable == [tmp_path / "unmounted"]


def test_very_deep_folders(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(300):
        deep = Path(f"{deep}/d")
        deep.mkdir()
    put(deep / "x.jpg")
    assert len(names(tmp_path)) == 1


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF"])
def test_the_first_bytes_of_every_format_are_known(tmp_path: Path, format: str) -> None:
    path = tmp_path / "picture"
    Image.new("RGB", (9, 7), "red").save(path, format=format)
    assert sniff(path.read_bytes()[:HEAD_SIZE]) == format
    assert names(tmp_path) == ["picture"]


@given(st.binary(max_size=HEAD_SIZE))
def test_sniffing_takes_any_bytes(head: bytes) -> None:
    assert sniff(head) is None or isinstance(sniff(head), str)


PART = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(PART.filter(lambda part: part not in (".", "..")), min_size=1, max_size=4))
def test_a_path_is_covered_when_any_folder_on_the_way_is_left_out(parts: list[str]) -> None:
    pruning = Pruning(Path("/root"), ["secret"])
    path = "/root/" + "/".join(parts)
    assert pruning.covers(path + "/secret/x.jpg")
    assert pruning.covers("/root/.cache/" + "/".join(parts))
    assert pruning.covers("/elsewhere/x.jpg")
    ways = [path.rsplit("/", up)[0] for up in range(len(parts))]
    assert pruning.covers(path) == any(pruning.leaves_out(way) for way in ways)
