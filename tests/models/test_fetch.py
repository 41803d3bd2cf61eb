"""Fetching a file over real HTTP: whole, in pieces, wrong, or not at all."""

import hashlib
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from photoindex.errors import DownloadError
from photoindex.models.fetch import fetch
from photoindex.tagger import ModelFile

CONTENT = random.Random(7).randbytes(3_000_000)


@dataclass
class Site:
    """What the server does; a test changes it as it goes."""

    content: bytes = CONTENT
    ranges: bool = True
    etag: str | None = '"one"'
    drop_after: list[int] = field(default_factory=list)  # bytes, one entry an answer
    statuses: list[int] = field(default_factory=list)  # instead of the first answers
    requests: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    def url(self, name: str = "weights.pth") -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def file(self, content: bytes = CONTENT, size: int | None = None) -> ModelFile:
        return ModelFile("weights.pth", self.url(), hashlib.sha256(content).hexdigest(), size)


class Handler(BaseHTTPRequestHandler):
    """Answers as its site says."""

    site: Site

    def do_GET(self) -> None:
        self.site.requests.append({name.lower(): value for name, value in self.headers.items()})
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", self.site.url())
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        status = self.site.statuses.pop(0) if self.site.statuses else 0
        if status >= 400:
            self.send_error(status)
            return
        self.answer()

    def answer(self) -> None:
        start, size = 0, len(self.site.content)
        wanted = self.headers.get("Range")
        same = self.headers.get("If-Range") in (None, self.site.etag)
        if wanted and self.site.ranges and same:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= size > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(size - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if self.site.etag:
            self.send_header("ETag", self.site.etag)
        self.end_headers()
        end = start + self.site.drop_after.pop(0) if self.site.drop_after else size
        self.wfile.write(self.site.content[start:end])
        self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"site": site}))
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


class Watched:
    """Remembers the progress that was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int | None]] = []

    def __call__(self, what: str, done: int, total: int | None) -> None:
        self.told.append((what, done, total))


def get(file: ModelFile, folder: Path, progress: Watched | None = None) -> Path:
    return fetch(file, folder, progress or Watched(), pause=0.01)


def refused(file: ModelFile, folder: Path) -> str:
    with pytest.raises(DownloadError) as caught:
        get(file, folder)
    assert "\n" not in str(caught.value)
    assert not (folder / file.name).exists()
    return str(caught.value)


def test_a_file_arrives_whole_with_progress(site: Site, tmp_path: Path) -> None:
    progress = Watched()
    path = get(site.file(size=len(CONTENT)), tmp_path / "new/folder", progress)
    assert path == tmp_path / "new/folder/weights.pth"
    assert path.read_bytes() == CONTENT
    downloading = [item for item in progress.told if item[0] == "downloading weights.pth"]
    assert downloading[0][1:] == (0, len(CONTENT))
    assert downloading[-1][1:] == (len(CONTENT), len(CONTENT))
    assert sorted(done for _, done, _ in downloading) == [done for _, done, _ in downloading]
    assert not list(path.parent.glob("*.part*"))


def test_a_file_that_is_here_costs_no_network(site: Site, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(CONTENT)
    assert get(site.file(), tmp_path).read_bytes() == CONTENT
    assert site.requests == []


def test_a_wrong_file_that_is_here_is_not_used(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"something else")
    with pytest.raises(DownloadError) as caught:
        get(site.file(), tmp_path)
    assert hashlib.sha256(b"something else").hexdigest() in str(caught.value)
    assert site.file().sha256 in str(caught.value)
    assert path.read_bytes() == b"something else"
    assert site.requests == []


@pytest.mark.parametrize("etag", ['"one"', None, 'W/"weak"'])
def test_a_dropped_connection_is_continued(site: Site, tmp_path: Path, etag: str | None) -> None:
    site.etag, site.drop_after = etag, [1_000_000, 1_000_000]
    assert get(site.file(), tmp_path).read_bytes() == CONTENT
    assert [request.get("range") for request in site.requests] == [
        *(None, "bytes=1000000-", "bytes=2000000-")
    ]
    assert site.requests[1].get("if-range") == ('"one"' if etag == '"one"' else None)


def test_a_server_without_ranges_starts_anew(site: Site, tmp_path: Path) -> None:
    site.ranges, site.drop_after = False, [1_000_000]
    assert get(site.file(), tmp_path).read_bytes() == CONTENT


def test_a_later_run_continues_an_earlier_one(site: Site, tmp_path: Path) -> None:
    site.drop_after = [1_000_000, *[0] * 9]
    message = refused(site.file(size=len(CONTENT)), tmp_path)
    assert "1,000,000 bytes are here already" in message
    site.drop_after = []
    assert get(site.file(), tmp_path).read_bytes() == CONTENT
    assert site.requests[-1]["range"] == "bytes=1000000-"


@pytest.mark.parametrize("etag", ['"two"', None])
def test_a_file_that_changed_in_between_is_fetched_anew(
    site: Site, tmp_path: Path, etag: str | None
) -> None:
    if etag is None:
        site.etag = None
    other = CONTENT[::-1]
    site.content, site.drop_after = other, [1_000_000, *[0] * 9]
    refused(site.file(), tmp_path)
    site.content, site.drop_after, site.etag = CONTENT, [], etag
    assert get(site.file(), tmp_path).read_bytes() == CONTENT


def test_a_part_that_is_the_whole_is_finished(site: Site, tmp_path: Path) -> None:
    (tmp_path / "weights.pth.part").write_bytes(CONTENT)
    assert get(site.file(), tmp_path).read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_thrown_away(site: Site, tmp_path: Path) -> None:
    (tmp_path / "weights.pth.part").write_bytes(CONTENT + b"more")
    assert get(site.file(), tmp_path).read_bytes() == CONTENT


def test_a_wrong_sum_is_reported_with_both(site: Site, tmp_path: Path) -> None:
    message = refused(site.file(b"what was published"), tmp_path)
    assert hashlib.sha256(CONTENT).hexdigest() in message
    assert hashlib.sha256(b"what was published").hexdigest() in message
    assert (tmp_path / "weights.pth.part").stat().st_size == 0


def test_a_wrong_size_is_refused_before_it_is_loaded(site: Site, tmp_path: Path) -> None:
    message = refused(site.file(size=17), tmp_path)
    assert "3,000,000" in message
    assert "17" in message
    assert (tmp_path / "weights.pth.part").stat().st_size == 0


def test_a_file_that_does_not_fit_is_refused(site: Site, tmp_path: Path) -> None:
    file = ModelFile("weights.pth", site.url(), "0" * 64, 10**18)
    site.content = b""
    with pytest.raises(DownloadError):
        get(file, tmp_path)


def test_passing_trouble_is_sat_out(site: Site, tmp_path: Path) -> None:
    site.statuses = [503, 429]
    assert get(site.file(), tmp_path).read_bytes() == CONTENT


def test_redirects_are_followed(site: Site, tmp_path: Path) -> None:
    file = ModelFile("weights.pth", site.url("moved"), site.file().sha256)
    assert get(file, tmp_path).read_bytes() == CONTENT


def everything_to_do_by_hand(message: str, file: ModelFile, folder: Path) -> bool:
    wanted = (file.url, file.name, file.sha256, "3,000,000 bytes", str(folder))
    return all(part in message for part in wanted) and "photoindex models import" in message


def test_what_is_not_there_is_said_at_once(site: Site, tmp_path: Path) -> None:
    site.statuses = [404]
    file = site.file(size=len(CONTENT))
    message = refused(file, tmp_path)
    assert "HTTP 404" in message
    assert everything_to_do_by_hand(message, file, tmp_path)
    assert len(site.requests) == 1


def test_without_a_network_it_says_what_to_do(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/weights.pth"  # nothing listens there
    file = ModelFile("weights.pth", url, "ab" * 32, len(CONTENT))
    folder = tmp_path / "my models"
    message = refused(file, folder)
    assert everything_to_do_by_hand(message, file, folder)
    assert f"'{folder}'" in message  # as a shell wants it


@pytest.mark.parametrize("url", ["nonsense", "ftp://example.invalid/x", "http://"])
def test_an_impossible_address(tmp_path: Path, url: str) -> None:
    assert "cannot download" in refused(ModelFile("x", url, "0" * 64), tmp_path)


def test_two_at_once(site: Site, tmp_path: Path) -> None:
    inside = threading.Event()
    go_on = threading.Event()

    def slow(what: str, done: int, total: int | None) -> None:
        inside.set()
        go_on.wait()

    first = threading.Thread(target=fetch, args=(site.file(), tmp_path, slow))
    first.start()
    inside.wait()
    assert "another photoindex" in refused(site.file(), tmp_path)
    go_on.set()
    first.join()
    assert (tmp_path / "weights.pth").read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match=r"cannot write weights\.pth to .*PHOTOINDEX_MODELS"):
        get(site.file(), tmp_path / "file")
