"""Pictures are opened in a process apart: what a file does to it is all that a file can do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photoindex.errors import PhotoindexError, PictureError, Unreachable
from photoindex.photos.decode import DecodedPicture, decode_picture, read_picture
from photoindex.photos.decoder import Decoder

SIDE = 64


def always(content: str) -> int:
    return SIDE


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as decoder:
        yield decoder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.jpg"
    chance = np.random.default_rng(0)
    Image.fromarray(chance.integers(0, 256, (300, 400, 3), dtype=np.uint8)).save(path)
    return path


def decoder_processes() -> list[int]:
    """The processes that this one has started to decode."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    return [int(line.split()[0]) for line in listed if "decoder_process" in line]


def when_started(act: Callable[[int], None], known: list[int]) -> threading.Thread:
    """Do something to the next process as soon as there is one."""

    def wait() -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if new := [pid for pid in decoder_processes() if pid not in known]:
                return act(new[0])

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_it_gives_what_decoding_here_gives(decoder: Decoder, picture: Path) -> None:
    decoded, here = decoder.open(picture, always), decode_picture(read_picture(picture), SIDE)
    assert isinstance(decoded, DecodedPicture)
    assert decoded.picture.tobytes() == here.picture.tobytes()
    assert (decoded.picture.size, decoded.facts) == (here.picture.size, here.facts)


def test_content_that_is_not_wanted_is_not_decoded(decoder: Decoder, picture: Path) -> None:
    asked: list[str] = []
    content = decoder.open(picture, asked.append)
    assert content is None
    assert asked == [decode_picture(read_picture(picture)).facts.hash]
    assert isinstance(decoder.open(picture, always), DecodedPicture)


def test_reasons_arrive_and_the_process_lives_on(decoder: Decoder, picture: Path) -> None:
    before = decoder_processes()
    broken = picture.with_name("broken.jpg")
    broken.write_bytes(picture.read_bytes()[:5000])
    pipe = picture.with_name("pipe.jpg")
    os.mkfifo(pipe)
    for path, reason in (
        (broken, "truncated"),
        (pipe, "not a regular file"),
        (picture.with_name("nothing.jpg"), "no such file"),
    ):
        with pytest.raises(PictureError, match=reason):
            decoder.open(path, always)
    assert isinstance(decoder.open(picture, always), DecodedPicture)
    assert decoder_processes() == before


def test_names_that_are_no_utf8(decoder: Decoder, picture: Path) -> None:
    odd = picture.with_name(os.fsdecode(b"caf\xe9\n.jpg"))
    picture.rename(odd)
    assert isinstance(decoder.open(odd, always), DecodedPicture)


def test_a_process_that_something_else_ended_is_started_again(picture: Path) -> None:
    with Decoder() as decoder:
        known = decoder_processes()
        assert isinstance(decoder.open(picture, always), DecodedPicture)
        (pid,) = set(decoder_processes()) - set(known)
        os.kill(pid, signal.SIGKILL)
        assert isinstance(decoder.open(picture, always), DecodedPicture)


def during_decoding(decoder: Decoder, sent: signal.Signals) -> Callable[[str], int]:
    """Sends the process a signal when the file has been read and is to be decoded."""

    def wanted(content: str) -> int:
        assert decoder._process is not None
        decoder._process.send_signal(sent)
        return SIDE

    return wanted


def test_a_file_that_crashes_the_process_twice_is_given_up_with_the_reason(picture: Path) -> None:
    with Decoder() as decoder:
        with pytest.raises(PictureError, match="crashes its decoder"):
            decoder.open(picture, during_decoding(decoder, signal.SIGSEGV))
        assert isinstance(decoder.open(picture, always), DecodedPicture)


def test_a_file_that_takes_too_long_to_decode_is_given_up(picture: Path) -> None:
    with Decoder(seconds=1.0) as decoder:
        with pytest.raises(PictureError, match="longer than 1 seconds"):
            decoder.open(picture, during_decoding(decoder, signal.SIGSTOP))
        assert isinstance(decoder.open(picture, always), DecodedPicture)


def test_what_the_machine_does_is_not_the_files_fault(picture: Path) -> None:
    """No memory left, say, for which systems kill processes."""
    with Decoder() as decoder:
        with pytest.raises(Unreachable):
            decoder.open(picture, during_decoding(decoder, signal.SIGKILL))
        assert isinstance(decoder.open(picture, always), DecodedPicture)


def test_a_disk_that_does_not_answer_is_not_the_files_fault(
    picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place is taken by a process that reads for ever."""
    reading = "print('{}', flush=True); input(); import time; time.sleep(60)"
    monkeypatch.setattr("photoindex.photos.decoder._PROGRAM", (sys.executable, "-c", reading))
    with (
        Decoder(seconds=1.0) as decoder,
        pytest.raises(Unreachable, match="longer than 1 seconds"),
    ):
        decoder.open(picture, always)


def test_it_ends_at_once_in_the_middle_of_a_file(picture: Path) -> None:
    with Decoder() as decoder:
        stopping = during_decoding(decoder, signal.SIGSTOP)

        def wanted(content: str) -> int:
            threading.Timer(0.2, decoder.end).start()
            return stopping(content)

        with pytest.raises(Unreachable):
            decoder.open(picture, wanted)
        with pytest.raises(Unreachable):
            decoder.open(picture, always)


def test_where_no_process_starts_no_file_is_blamed(
    picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHOME", str(picture.parent))  # an interpreter without its library
    with Decoder() as decoder, pytest.raises(PhotoindexError, match="cannot be started") as said:
        decoder.open(picture, always)
    assert not isinstance(said.value, PictureError)


def test_what_the_system_does_not_let_be_read_is_told_apart(decoder: Decoder) -> None:
    """A regular file that fails when it is read, as on a disk with a fault."""
    with pytest.raises(Unreachable, match="cannot be read"):
        decoder.open(Path("/proc/self/mem"), always)


def test_memory_is_bounded(decoder: Decoder, tmp_path: Path) -> None:
    """A file of under two megabytes that would take several gigabytes."""
    bomb = tmp_path / "bomb.png"
    Image.new("RGBA", (17_000, 17_000)).save(bomb)
    with pytest.raises(PictureError, match="not enough memory"):
        decoder.open(bomb, always)
    assert isinstance(decoder.open(_small(tmp_path), always), DecodedPicture)


def test_signals_to_the_whole_group_do_not_end_it(picture: Path) -> None:
    """Ctrl-C and a service manager's SIGTERM reach it, too; the batch in hand needs it."""
    with Decoder() as decoder:
        known = decoder_processes()
        decoder.open(picture, always)
        (pid,) = set(decoder_processes()) - set(known)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)
        decoder.open(picture, always)
        assert pid in decoder_processes()


def test_it_ends_with_its_parent(picture: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from photoindex.photos.decoder import Decoder\n"
        f"decoder = Decoder(); decoder.open(Path(sys.argv[1]), lambda content: {SIDE})\n"
        "print(decoder._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", program, str(picture)], capture_output=True, text=True, check=False
    )
    left = Path(f"/proc/{int(parent.stdout)}")
    end = time.monotonic() + 20
    while left.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not left.exists()


def test_nothing_is_imported_from_the_current_folder(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trap"
    (trap / "photoindex").mkdir(parents=True)
    (trap / "photoindex" / "__init__.py").write_text("raise SystemExit('trapped')")
    monkeypatch.chdir(trap)
    with Decoder() as decoder:
        assert isinstance(decoder.open(picture, always), DecodedPicture)


def _small(folder: Path) -> Path:
    path = folder / "small.png"
    Image.new("RGB", (10, 10)).save(path)
    return path
