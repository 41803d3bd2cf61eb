"""An OpenAI-compatible endpoint: one prompt goes there, one answer comes back."""

from __future__ import annotations

import ipaddress
import json
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any

import httpx

from photoindex.errors import UsageError
from ram_tagger.errors import RamTaggerError

TRIES = 5  # of one request
PAUSE = 1.0  # seconds before the second try, doubled from then on
LONGEST_PAUSE = 600.0  # seconds; what a server wants beyond that is left to the user
LONGEST_TIMEOUT = 86400.0  # seconds
LARGEST_ANSWER = 4 * 1024 * 1024  # bytes
_PASSING = frozenset((408, 409, 425, 429))  # and every 5xx
_EXAMPLE = "http://127.0.0.1:11434/v1"
_PATH = "/chat/completions"
_LONGEST_REASON = 200  # characters


class EndpointError(RamTaggerError):
    """An endpoint that gives no answer; the message never holds the key."""


class Abandoned(RamTaggerError):
    """A request that was not tried again because the run is ending."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Which language model is asked, where and how.

    base: the URL before `/chat/completions`; llm: the model's name there; temperature: 0..2;
    timeout: seconds that the server may stay silent.
    """

    base: str
    llm: str
    key: str | None = field(default=None, repr=False)
    temperature: float = 1.0
    timeout: float = 120.0

    @classmethod
    def at(
        cls, url: str, llm: str, key: str | None, temperature: float = 1.0, timeout: float = 120.0
    ) -> Endpoint:
        """An endpoint as a user types it. Raises UsageError."""
        base = url.strip().rstrip("/").removesuffix(_PATH).rstrip("/")
        try:
            parsed = httpx.URL(base)
        except httpx.InvalidURL as error:
            raise UsageError(f"the endpoint is no URL: write one such as {_EXAMPLE}") from error
        if parsed.userinfo:  # said without repeating it
            raise UsageError("write the endpoint without user and password: RAM_TAGGER_KEY is read")
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise UsageError(f'"{_plain(base)}" is no endpoint: write a URL such as {_EXAMPLE}')
        if parsed.query or parsed.fragment:
            raise UsageError(f"write the endpoint without ? or # and what follows, as {_EXAMPLE}")
        if not 0 <= temperature <= 2 or not 0 < timeout <= LONGEST_TIMEOUT:  # nor what is no number
            raise UsageError(
                "give a --temperature between 0 and 2 and a --timeout of at most a day in seconds"
            )
        key = (key or "").strip() or None
        if key and not (key.isascii() and key.isprintable() and " " not in key):
            raise UsageError("the key holds blanks or characters that no key has: set it anew")
        return cls(str(parsed), llm, key, temperature, timeout)

    @property
    def local(self) -> bool:
        """Whether it is on this machine."""
        host = httpx.URL(self.base).host
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    @property
    def reveals_key(self) -> bool:
        """Whether the key would cross a network unencrypted."""
        return self.key is not None and not self.local and httpx.URL(self.base).scheme == "http"


class Client:
    """Connections to an endpoint, used by several threads at once. A context manager.

    Once `ended` is set no request is tried again.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        ended: threading.Event,
        parallel: int = 1,
        pause: float = PAUSE,
    ) -> None:
        self._endpoint, self._ended, self._pause = endpoint, ended, pause
        self._reached = False
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {},
            timeout=httpx.Timeout(endpoint.timeout, connect=min(endpoint.timeout, 15.0)),
            limits=httpx.Limits(max_connections=parallel, max_keepalive_connections=parallel),
            follow_redirects=False,  # the key is for this host alone
            trust_env=not endpoint.local,  # no proxy leads to this machine
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def ask(self, prompt: str) -> str:
        """The model's answer, as it is; "" if it has nothing to say.

        Passing trouble is sat out, for as long as the server's Retry-After says. Raises
        EndpointError, Abandoned.
        """
        tries = 0
        while True:
            tries += 1
            try:
                return self._ask_once(prompt)
            except _Passing as trouble:
                wanted = self._pause * 2 ** (tries - 1) if trouble.wait is None else trouble.wait
                if wanted > LONGEST_PAUSE:
                    raise self._error(
                        f"{trouble} and wants {wanted:,.0f} s of patience: go on later"
                    ) from trouble
                if tries == TRIES:
                    raise self._error(f"{trouble}, {TRIES} times in a row") from trouble
                if self._ended.wait(wanted):
                    raise Abandoned(str(trouble)) from trouble

    def _ask_once(self, prompt: str) -> str:
        body = {
            "model": self._endpoint.llm,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": self._endpoint.temperature,
            "stream": False,
        }
        try:
            with self._http.stream("POST", self._endpoint.base + _PATH, json=body) as response:
                self._reached = True
                content = self._read(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            if self._reached:
                raise _Passing(f"cannot be reached ({self._said(str(error))})") from error
            raise self._error(
                f"cannot be reached ({self._said(str(error))}): is the server running, and the"
                " address right?"
            ) from error
        except httpx.TimeoutException as error:
            raise _Passing(f"said nothing for {self._endpoint.timeout:g} s (--timeout)") from error
        except httpx.TransportError as error:
            raise _Passing(f"broke off ({self._said(str(error))})") from error
        except httpx.HTTPError as error:
            raise self._error(f"cannot be asked ({self._said(str(error))})") from error
        self._check(response, content)
        return self._answer(content)

    def _read(self, response: httpx.Response) -> bytes:
        content = bytearray()
        for block in response.iter_bytes():
            content += block
            if len(content) > LARGEST_ANSWER:
                raise self._error(f"sent more than {LARGEST_ANSWER >> 20} MB for one answer")
        return bytes(content)

    def _check(self, response: httpx.Response, content: bytes) -> None:
        """Raise what a status other than 2xx means."""
        status = response.status_code
        if 200 <= status < 300:
            return
        reason = self._said(_reason(content))
        told = f"answers HTTP {status}" + (f" ({reason})" if reason else "")
        if status in _PASSING or status >= 500:
            raise _Passing(told, _retry_after(response.headers.get("retry-after", "")))
        if status == 401 or (status == 403 and not reason):
            # What a server says of a wrong key may quote it.
            raise self._error(
                f"refuses the key (HTTP {status}): correct RAM_TAGGER_KEY or OPENAI_API_KEY"
                if self._endpoint.key
                else f"wants a key (HTTP {status}): put it into RAM_TAGGER_KEY"
            )
        if status == 403:
            raise self._error(f"{told}: this key may not use {self._model}")
        if status == 404:
            raise self._error(
                f"{told}: the base URL is wrong (most end in /v1), or it has no {self._model}"
            )
        if 300 <= status < 400:
            goal = self._said(response.headers.get("location", "elsewhere"))
            raise self._error(f"redirects to {goal}: redirects are not followed, name the goal")
        raise self._error(told)

    def _answer(self, content: bytes) -> str:
        try:
            document = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._error(
                "answers something other than JSON: is it the base URL of an OpenAI-compatible"
                " server? Most end in /v1"
            ) from error
        try:
            said = document["choices"][0]["message"]["content"]
        except (LookupError, TypeError) as error:
            reason = self._said(_reason(content))
            raise self._error(
                "answers without choices: is it OpenAI-compatible?"
                + (f" It says: {reason}" if reason else "")
            ) from error
        if said is not None and not isinstance(said, str):
            raise self._error("answers with something other than text: ask another model")
        return said or ""

    @property
    def _model(self) -> str:
        return f'model "{_plain(self._endpoint.llm)}" (--llm)'

    def _said(self, text: str) -> str:
        """A server's words, fit for a message: short, printable, without the key."""
        key = self._endpoint.key
        return _plain(text.replace(key, "…") if key else text)

    def _error(self, what: str) -> EndpointError:
        return EndpointError(f"{self._endpoint.base} {what}")


class _Passing(Exception):
    """The server cannot answer now; the message says why, `wait` how long in seconds."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


def _retry_after(header: str) -> float | None:
    """The seconds that a Retry-After header asks for, if it makes sense."""
    if header.strip().isdecimal():
        return float(header)
    try:
        when = parsedate_to_datetime(header)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _reason(content: bytes) -> str:
    """What an error document says in words, in one of the forms that servers use."""
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    for name in ("error", "message", "detail"):
        if isinstance(document, dict) and document.get(name):
            document = document[name]
    return document if isinstance(document, str) else ""


def _plain(text: str) -> str:
    line = "".join(c for c in " ".join(text.split()) if c.isprintable())
    return line if len(line) <= _LONGEST_REASON else line[:_LONGEST_REASON] + "…"
