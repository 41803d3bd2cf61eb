"""A search whose neighbour does not answer as it should answers itself, as if there were none."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from neighbours import PATIENCE, Answer, Place

from photoindex.lending import answers, requests

Behaviour = Callable[[socket.socket], object]


@pytest.fixture(scope="module")
def alone(indexed: Place) -> Answer:
    """The search that every test here makes, where nobody lends."""
    answer = indexed.search("cat")
    assert answer.code == 0 and not answer.lent
    return answer


@contextmanager
def neighbour(place: Place, behaves: Behaviour | None) -> Iterator[None]:
    """Something that listens where a lender would; None: it accepts nobody."""
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(place.library)
        listener.bind(place.socket.name)
        listener.listen()
        stop = threading.Event()

        def accept() -> None:
            listener.settimeout(0.1)
            while not stop.is_set() and behaves is not None:
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(PATIENCE)
                    connection.recv(65536)
                    behaves(connection)

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield
        finally:
            stop.set()
            accepting.join(PATIENCE)


@pytest.fixture(autouse=True)
def back_where_it_was() -> Iterator[None]:
    before = Path.cwd()
    yield
    os.chdir(before)


def greeted(then: bytes) -> Behaviour:
    return lambda connection: connection.sendall(requests.greeting() + b"\n" + then)


BEHAVIOURS: dict[str, Behaviour | None] = {
    "accepts nobody": None,
    "hangs up": lambda connection: None,
    "is of another version": lambda c: c.sendall(b'{"photoindex": "0.0.9", "protocol": 1}\n'),
    "speaks another language": lambda c: c.sendall(b"220 mail.example ESMTP\r\n"),
    "sends no line": lambda c: c.sendall(b"x" * 100_000),
    "greets and hangs up": greeted(b""),
    "breaks off": greeted(b'{"found": [[], '),
    "declines": greeted(answers.declined("no") + b"\n"),
    "answers garbage": greeted(b"\xff\xfe\n"),
    "answers another question": greeted(b'{"found": 7}\n'),
    "fails in a way unknown": greeted(b'{"error": ["OSError", "no"]}\n'),
}


@pytest.mark.parametrize("how", BEHAVIOURS)
def test_a_neighbour_that_misbehaves_is_no_matter(place: Place, alone: Answer, how: str) -> None:
    with neighbour(place, BEHAVIOURS[how]):
        answer = place.search("cat")
    assert answer.said == alone.said
    assert not answer.lent


def test_a_lender_that_was_killed_is_no_matter_and_is_followed(place: Place, alone: Answer) -> None:
    with place.served() as serving:
        assert place.search("cat").lent
        serving.stop(signal.SIGKILL)
        assert place.socket.is_socket()
        answer = place.search("cat")
        assert answer.said == alone.said and not answer.lent
    with place.served() as serving:
        assert place.search("cat").lent
        assert serving.stop() == 0


def test_a_lender_that_stands_still_is_not_waited_for(place: Place, alone: Answer) -> None:
    with place.served() as serving:
        serving.process.send_signal(signal.SIGSTOP)
        answer = place.search("cat")
        serving.process.send_signal(signal.SIGCONT)
        assert answer.said == alone.said and not answer.lent
        assert place.search("cat").lent


def test_another_version_asks_nobody(lent: Place, alone: Answer) -> None:
    newer = "import photoindex.version as v; v.__version__ = '99.0'"
    answer = lent.search("cat", first=newer)
    assert answer.said == alone.said and not answer.lent


def test_a_link_is_not_followed(place: Place, lent: Place, alone: Answer) -> None:
    place.socket.symlink_to(lent.socket)
    answer = place.search("cat")
    assert answer.said == alone.said and not answer.lent


def test_a_file_in_its_place_is_no_matter(place: Place, alone: Answer) -> None:
    place.socket.write_text("not a socket")
    answer = place.search("cat")
    assert answer.said == alone.said and not answer.lent


def test_a_link_in_its_place_gives_way_and_its_target_stays(place: Place, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    place.socket.symlink_to(target)
    with place.served():
        assert place.search("cat").lent
    assert target.read_text() == "mine"
    assert target.stat().st_mode & 0o777 != 0o600 or target.stat().st_uid == os.geteuid()


def test_other_models_are_another_search(lent: Place, tmp_path: Path) -> None:
    answer = lent.search("a birthday party with a cake", "--models-folder", tmp_path)
    assert answer.code == 0 and not answer.lent
    assert lent.having(PHOTOINDEX_PRECISION="fp32").search("cat").lent is False


def test_a_thousand_photos_and_more_are_everyones_own(lent: Place) -> None:
    assert lent.search("in:/", "-n", "1000").lent
    answer = lent.search("in:/", "-n", "1001")
    assert answer.code == 0 and not answer.lent


def test_no_library_is_still_an_error(place: Place) -> None:
    shutil.rmtree(place.library)
    answer = place.search("cat")
    assert answer.code == 3 and "no library in" in answer.err


AS_NOBODY = """
import os, socket, sys
os.setuid(65534)
listener = socket.socket(fileno=int(sys.argv[1]))
listener.listen()
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall(bytes.fromhex(sys.argv[2]))
"""
root_only = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be somebody else"
)


@root_only
def test_a_lender_of_another_user_is_not_asked(place: Place, alone: Answer) -> None:
    wrong = requests.greeting() + b'\n{"found": [[], [], null, 0, 0]}\n'
    os.chdir(place.library)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place.socket.name)
        number = listener.fileno()
        stranger = subprocess.Popen(
            [sys.executable, "-c", AS_NOBODY, str(number), wrong.hex()],
            pass_fds=[number],
            stdout=subprocess.PIPE,
        )
        assert stranger.stdout is not None
        try:
            assert stranger.stdout.readline() == b"listening\n"
            answer = place.search("cat")
            assert answer.said == alone.said and not answer.lent
            os.chown(place.socket, 65534, 65534)
            assert place.search("cat").said == alone.said
        finally:
            stranger.kill()
            stranger.wait(PATIENCE)
            stranger.stdout.close()


@root_only
def test_another_user_is_not_answered(place: Place, tmp_path: Path) -> None:
    ask = "import os, socket, sys; os.setuid(int(sys.argv[2])); s = socket.socket(socket.AF_UNIX); "
    ask += "s.connect(sys.argv[1]); sys.stdout.buffer.write(s.recv(99))"
    with place.served():
        place.socket.chmod(0o666)
        number = os.open(place.library, os.O_PATH)
        try:
            address = f"/proc/self/fd/{number}/{place.socket.name}"
            told = {
                user: subprocess.run(
                    [sys.executable, "-c", ask, address, str(user)],
                    pass_fds=[number],
                    capture_output=True,
                    timeout=PATIENCE,
                )
                for user in (0, 65534)
            }
        finally:
            os.close(number)
    assert told[0].stdout == requests.greeting() + b"\n"
    assert told[65534].stdout == b""
