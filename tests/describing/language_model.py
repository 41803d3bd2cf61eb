"""A small server on this machine that speaks the chat/completions protocol."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE = 60.0


def says_of(prompt: str) -> str:
    """The same answer to the same prompt, another one to any other."""
    return f"It looks like number {hashlib.sha256(prompt.encode()).hexdigest()[:12]}."


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server sends instead of an answer."""

    status: int
    body: str = ""
    headers: tuple[tuple[str, str], ...] = (("Retry-After", "0"),)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        return str(self.body["messages"][0]["content"])


@dataclass
class LanguageModel:
    """What the server does; a test changes it as it goes."""

    answer: Callable[[str], str] = says_of
    replies: list[Reply] = field(default_factory=list)  # to the first requests
    refuses: Callable[[str], Reply | None] = lambda prompt: None
    holds_after: int | None = None  # answers; further ones wait for `go_on`
    together: int = 1  # requests that wait for each other, the last to come answered first
    asked: list[Asked] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)
    port: int = 0

    @classmethod
    @contextmanager
    def serving(cls) -> Iterator[LanguageModel]:
        """One that listens on a free port of this machine."""
        model = cls()
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"model": model}))
        model.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield model
        finally:
            model.go_on.set()
            server.shutdown()
            thread.join()
            server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def prompts(self) -> list[str]:
        return [asked.prompt for asked in self.asked]

    def until_asked(self, number: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.asked) >= number, PATIENCE)

    def arrive(self, asked: Asked) -> int:
        """Note a request, and wait for its turn. Returns its number."""
        with self.changed:
            number = len(self.asked)
            self.asked.append(asked)
            self.changed.notify_all()
        if self.holds_after is not None and number >= self.holds_after:
            self.go_on.wait()
        if self.together > 1:
            last = number - number % self.together + self.together - 1
            turn = last - number + (number - number % self.together)
            with self.changed:
                assert self.changed.wait_for(
                    lambda: len(self.asked) > last and len(self.answered) == turn, PATIENCE
                )
        return number

    def done(self, prompt: str) -> None:
        with self.changed:
            self.answered.append(prompt)
            self.changed.notify_all()


class Handler(BaseHTTPRequestHandler):
    """Answers as its language model says."""

    model: LanguageModel

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.path, headers, body)
        number = self.model.arrive(asked)
        reply = self.model.refuses(asked.prompt)
        if number < len(self.model.replies):
            reply = self.model.replies[number]
        if reply is None:
            message = {"role": "assistant", "content": self.model.answer(asked.prompt)}
            document = {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}
            reply = Reply(200, json.dumps(document), ())
        with suppress(ConnectionError):  # whoever asked was killed
            self.send(reply)
            self.model.done(asked.prompt)

    def send(self, reply: Reply) -> None:
        content = reply.body.encode()
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        if "Content-Length" not in dict(reply.headers):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass
