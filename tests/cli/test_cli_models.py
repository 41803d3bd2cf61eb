"""`photoindex models`: what is here, what can be had, importing."""

from __future__ import annotations

from pathlib import Path

import pytest
from typed import Command

from photoindex.config import DEFAULT_MODEL
from ram_tagger.sources import BUNDLED


@pytest.fixture
def own_models(empty: Command, tmp_path: Path) -> list[str]:
    return ["--models-folder", str(tmp_path / "models")]


def test_the_bundled_model_is_here_and_the_default_to_be_pulled(
    empty: Command, own_models: list[str]
) -> None:
    rows = {line.split()[0]: line for line in empty("models", *own_models).lines}
    assert " here " in rows["sketch"]
    assert "(default)" in rows[DEFAULT_MODEL]
    assert " to be pulled " in rows[DEFAULT_MODEL]
    assert not empty.library.exists()


def test_models_as_json(empty: Command, own_models: list[str]) -> None:
    document = empty("models", "list", "--json", *own_models).document
    assert document["default"] == DEFAULT_MODEL
    for model in document["models"]:
        assert set(model) == {"name", "summary", "folder", "bytes"}
    here = {model["name"]: model["folder"] for model in document["models"]}
    assert here["sketch"]["path"] == str(BUNDLED)
    assert here[DEFAULT_MODEL] is None


def test_a_model_that_arrives_as_json(
    empty: Command, own_models: list[str], tmp_path: Path
) -> None:
    pulled = empty("models", "pull", "sketch", "--json", *own_models).document
    listed = empty("models", "--json", *own_models).document["models"]
    assert pulled in listed
    words = ("models", "import", BUNDLED, "--name", "my-own", "--json")
    imported = empty(*words, *own_models).document
    assert imported["name"] == "my-own"
    assert imported["folder"]["path"] == str(tmp_path / "models" / "my-own")


def test_a_model_folder_is_imported_and_used(
    empty: Command, own_models: list[str], pictures: Path, tmp_path: Path
) -> None:
    told = empty("models", "import", BUNDLED, "--name", "my-own", *own_models)
    assert str(tmp_path / "models" / "my-own") in told.err
    assert any(line.startswith("my-own ") for line in empty("models", *own_models).lines)
    empty("index", pictures / "winter", "--model", "my-own", *own_models)
    assert "winter" in empty("search", "snowman", *own_models).out


def test_a_model_is_used_from_its_own_folder(empty: Command, pictures: Path) -> None:
    empty("index", pictures / "winter", "--model", str(BUNDLED))
    assert "winter" in empty("search", "a snowman in winter weather", "--all").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pull", "nonesuch"], "known are"),
        (["import", "/no/such/model"], "/no/such/model"),
        (["import", "{pictures}"], "no model"),
        (["import", str(BUNDLED), "--name", "../escape"], "escape"),
    ],
)
def test_what_is_no_model_is_exit_code_three(
    empty: Command,
    own_models: list[str],
    pictures: Path,
    tmp_path: Path,
    words: list[str],
    message: str,
) -> None:
    asked = [word.format(pictures=pictures / "winter") for word in words]
    outcome = empty("models", *asked, *own_models, code=3)
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "escape").exists()


def test_where_there_is_no_network_it_says_what_to_do(
    empty: Command, own_models: list[str], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    outcome = empty.spawn("index", pictures, *own_models, code=3)
    for part in (".pth", "497c178836ba", "photoindex models import"):
        assert part in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("weights.pth", b"damaged", "no whole checkpoint"),
        ("notes.pdf", b"%PDF", "give a RAM++ .pth, a folder with one, or a vocabulary"),
        ("words.txt", b"caf\xe9\n", "not UTF-8"),
    ],
)
def test_an_import_that_fails_speaks_of_what_was_given(
    empty: Command, own_models: list[str], tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    refused = empty("models", "import", tmp_path / name, *own_models, code=3).err
    assert said in refused
    assert "clip-zero-shot" not in refused
    assert refused.count("\n") == 1
