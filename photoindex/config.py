"""Settings: where the library and the models lie, which model runs, and how.

Four sources, the earlier one winning: what the caller gives (command-line options), environment
variables (`PHOTOINDEX_LIBRARY`, `PHOTOINDEX_MODEL` …), a TOML file with the same names
(`photoindex.toml` in the user's configuration folder, or the file that `PHOTOINDEX_CONFIG` names),
and the defaults below.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from photoindex.errors import UsageError
from photoindex.paths import absolute

DEFAULT_MODEL = "ram_plus_swin_large_14m"
CONFIG_NAME = "photoindex.toml"
ENVIRONMENT_PREFIX = "PHOTOINDEX_"


@dataclass(frozen=True, slots=True)
class Settings:
    """What every part of photoindex may ask about how it was set up; paths are absolute."""

    library: Path = field(default_factory=lambda: data_folder() / "library")
    models: Path = field(default_factory=lambda: data_folder() / "models")
    model: str | None = None  # a name or a model folder; None: the library's own, else the default
    device: str = "auto"  # auto, cpu, cuda, cuda:1 …
    precision: str = "auto"  # auto, fp32, bf16
    batch_size: int | None = None  # pictures; None: what suits the model and its device
    exclude: tuple[str, ...] = ()  # globs of file and folder names or paths to leave out
    polling: bool = False  # look again and again instead of waiting for events (network shares)
    settle: float = 1.0  # seconds for which a file must be unchanged before it is read
    lend: bool = True  # whether a watcher answers searches, with its model and index kept warm

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, **options: object) -> Settings:
        """The settings in force; an option that is None was not given.

        environment: os.environ unless another is handed in. Raises UsageError naming the source
        of a value that makes no sense, an unknown key, or a file that cannot be read.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, object] = {}
        for source, found in (
            _from_file(environment),
            _from_environment(environment),
            ("the options given", {k: v for k, v in options.items() if v is not None}),
        ):
            for name, value in found.items():
                values[name] = _checked(name, value, source)
        return cls(**values)  # type: ignore[arg-type]


def data_folder() -> Path:
    """Where the user's data belong on this system."""
    base = _plain_base("XDG_DATA_HOME", "~/.local/share")
    if base is not None:
        return base / "photoindex"
    from platformdirs import user_data_path

    return user_data_path("photoindex")


def config_file(environment: Mapping[str, str]) -> tuple[Path, bool]:
    """The TOML file that counts, and whether it was named (and so has to be there)."""
    named = environment.get(ENVIRONMENT_PREFIX + "CONFIG")
    if named:
        return absolute(named), True
    base = _plain_base("XDG_CONFIG_HOME", "~/.config")
    if base is not None:
        return base / "photoindex" / CONFIG_NAME, False
    from platformdirs import user_config_path

    return user_config_path("photoindex") / CONFIG_NAME, False


def _plain_base(variable: str, default: str) -> Path | None:
    """A base folder of the XDG specification where there is nothing to it; else it is
    platformdirs' to find, whose import takes a tenth of the time of a search that is lent.
    """
    if sys.platform != "linux" or "ANDROID_DATA" in os.environ:
        return None
    said = os.environ.get(variable, "")
    if not said:
        return Path(os.path.expanduser(default))  # noqa: PTH111
    return Path(said) if said == said.strip() and said.startswith("/") else None


def _from_file(environment: Mapping[str, str]) -> tuple[str, dict[str, object]]:
    path, named = config_file(environment)
    try:
        text = path.read_text(encoding="utf-8")
        import tomllib  # here, as few have such a file and every search would pay

        return str(path), tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        if named:
            raise UsageError(
                f"no settings file {path}: correct {ENVIRONMENT_PREFIX}CONFIG"
            ) from None
        return str(path), {}
    except OSError as error:
        raise UsageError(f"cannot read the settings file {path}: {error.strerror}") from error
    except ValueError as error:  # no TOML, or not even UTF-8
        raise UsageError(f"the settings file {path} is not valid TOML: {error}") from error


def _from_environment(environment: Mapping[str, str]) -> tuple[str, dict[str, object]]:
    found: dict[str, object] = {}
    for name in _CHECKS:
        text = environment.get(ENVIRONMENT_PREFIX + name.upper())
        if text:
            found[name] = text.split(os.pathsep) if name == "exclude" else text
    return "the environment", found


def _checked(name: str, value: object, source: str) -> object:
    if name not in _CHECKS:
        known = ", ".join(item.name for item in fields(Settings))
        raise UsageError(f'unknown setting "{name}" in {source}: the settings are {known}')
    wanted, check = _CHECKS[name]
    try:
        return check(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} = {value!r} in {source} should be {wanted}") from error


def _path(value: object) -> Path:
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise TypeError
    return absolute(Path(value))


def _text(value: object) -> str:
    if not isinstance(value, str | os.PathLike) or not str(value).strip():
        raise TypeError
    return str(value)


def _device(value: object) -> str:
    kind, _, number = _text(value).partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise ValueError
    return _text(value)


def _precision(value: object) -> str:
    if value not in ("auto", "fp32", "bf16"):
        raise ValueError
    return str(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str) or int(value) < 1:
        raise ValueError
    return int(value)


def _globs(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError
    return tuple(_text(item) for item in value)


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False}
    try:
        return words[_text(value).lower()]
    except KeyError:
        raise ValueError from None


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    seconds = float(value)
    if not 0 <= seconds <= 3600:
        raise ValueError
    return seconds


_CHECKS: dict[str, tuple[str, Callable[[object], object]]] = {
    "library": ("a folder", _path),
    "models": ("a folder", _path),
    "model": ("a model's name or folder", _text),
    "device": ("auto, cpu, mps, cuda or cuda:N", _device),
    "precision": ("auto, fp32 or bf16", _precision),
    "batch_size": ("a whole number of at least 1", _count),
    "exclude": ("a list of patterns", _globs),
    "polling": ("true or false", _switch),
    "settle": ("seconds between 0 and 3600", _seconds),
    "lend": ("true or false", _switch),
}
