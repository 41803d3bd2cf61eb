"""Whatever is sent to the socket, the next search is answered and the process goes on."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from neighbours import PATIENCE, PICTURES, Place

from photoindex.config import Settings
from photoindex.lending import answers, requests
from photoindex.lending.address import connect
from photoindex.lending.reading import Lines
from photoindex.lending.requests import Wanted
from photoindex.search.options import SearchOptions


@pytest.fixture(autouse=True)
def still_lent(lent: Place) -> Iterator[None]:
    """Holds after every test here."""
    yield
    assert lent.search("cat").lent


def connected(lent: Place) -> socket.socket:
    connection = connect(lent.library, PATIENCE)
    assert connection is not None
    return connection


def answer(lent: Place, sent: bytes) -> bytes:
    """All that comes back, until the other side hangs up."""
    with connected(lent) as connection:
        connection.settimeout(PATIENCE)
        try:
            connection.sendall(sent)
            parts = iter(lambda: connection.recv(65536), b"")
            return b"".join(parts).removeprefix(requests.greeting() + b"\n")
        except ConnectionError:
            return b""


def asked(lent: Place, query: str, like: Path | None = None) -> bytes:
    models = Path(lent.environment["XDG_DATA_HOME"]) / "photoindex/models"
    settings = Settings(library=lent.library, models=models)
    return requests.request(Wanted.of(settings, query, SearchOptions(like=like))) + b"\n"


def test_a_request_is_answered(lent: Place) -> None:
    assert b'"found"' in answer(lent, asked(lent, "cat"))


@pytest.mark.parametrize(
    "sent",
    [
        b"\n",
        b"cat\n",
        b"\xff\xfe\0\n",
        b"{}\n",
        b"[]\n",
        b"[" * 60_000 + b"\n",
        b"9" * 60_000 + b"\n",
    ],
)
def test_garbage_is_declined(lent: Place, sent: bytes) -> None:
    assert "declined" in json.loads(answer(lent, sent))


def test_a_request_without_end_is_cut_off(lent: Place) -> None:
    assert answer(lent, b"x" * 1_000_000) == b""
    assert answer(lent, asked(lent, "cat " * 20_000)) == b""


def test_whoever_says_nothing_hinders_nobody(lent: Place) -> None:
    silent = [connected(lent) for _ in range(10)]
    assert lent.search("cat").lent
    for connection in silent:
        connection.close()


def test_whoever_is_slow_hinders_nobody(lent: Place) -> None:
    request = asked(lent, "cat")
    with connected(lent) as slow:
        slow.sendall(request[:10])
        assert lent.search("cat").lent
        slow.sendall(request[10:])
        lines = Lines(slow)
        assert lines.next(1000, PATIENCE) == requests.greeting()
        assert answers.parse_answer(lines.next(10**6, PATIENCE)) is not None


def test_whoever_sends_no_more_is_answered(lent: Place) -> None:
    with connected(lent) as half:
        half.sendall(asked(lent, "cat"))
        half.shutdown(socket.SHUT_WR)
        lines = Lines(half)
        lines.next(1000, PATIENCE)
        assert answers.parse_answer(lines.next(10**6, PATIENCE)) is not None


def test_whoever_does_not_wait_hinders_nobody(lent: Place) -> None:
    for _ in range(20):
        with connected(lent) as hasty:
            hasty.sendall(asked(lent, "a horse near a castle"))


def test_more_than_are_heard_at_once_search_themselves(lent: Place) -> None:
    crowd = [connected(lent) for _ in range(60)]
    alone = lent.search("cat")
    assert alone.code == 0
    for connection in crowd:
        connection.close()


def test_twenty_searches_at_once_are_all_answered(lent: Place) -> None:
    queries = ["cat", "a horse near a castle", "in:/", "tag:cta", "a lion in the zoo"]
    right = {query: lent.search(query, "--device", "cpu").said for query in queries}
    gate = threading.Barrier(20)

    def search(query: str) -> None:
        gate.wait(PATIENCE)
        found = lent.search(query)
        assert found.said == right[query]
        assert found.lent

    with ThreadPoolExecutor(20) as crowd:
        list(crowd.map(search, queries * 4))


def test_an_example_of_another_identity_is_declined(lent: Place) -> None:
    request = asked(lent, "", PICTURES / "city/taxi.jpg")
    row = json.loads(request)
    row[4][0] += 1
    assert "declined" in json.loads(answer(lent, json.dumps(row).encode() + b"\n"))
    assert b'"found"' in answer(lent, request)


def test_a_request_for_the_whole_machine_is_declined(lent: Place) -> None:
    row = json.loads(asked(lent, "cat"))
    row[3][0] = 10**9
    assert "declined" in json.loads(answer(lent, json.dumps(row).encode() + b"\n"))
    row[3][:2] = [1, os.fspath("relative.jpg")]
    assert "declined" in json.loads(answer(lent, json.dumps(row).encode() + b"\n"))
