"""Where settings come from, and what is said of wrong ones."""

from pathlib import Path

import platformdirs
import pytest

from photoindex.config import Settings, config_file, data_folder
from photoindex.errors import UsageError


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment whose configuration and data folders are empty."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return {}


def settings_file(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return {"PHOTOINDEX_CONFIG": str(path)}


def test_defaults_lie_in_the_users_data_folder(nowhere: dict[str, str], tmp_path: Path) -> None:
    settings = Settings.load(nowhere)
    assert settings.library == tmp_path / "data/photoindex/library"
    assert settings.models == tmp_path / "data/photoindex/models"
    assert settings.model is None
    assert settings == Settings()


@pytest.mark.parametrize("base", [None, "", "/x/y", "/a/", " /z ", " ", "relative", "~/q"])
def test_folders_are_where_the_system_has_them(
    base: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        if base is None:
            monkeypatch.delenv(variable, raising=False)
        else:
            monkeypatch.setenv(variable, base)
    assert data_folder() == platformdirs.user_data_path("photoindex")
    assert config_file({})[0].parent == platformdirs.user_config_path("photoindex")


def test_the_file_in_the_configuration_folder_is_read(
    nowhere: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "config/photoindex"
    folder.mkdir(parents=True)
    (folder / "photoindex.toml").write_text('model = "sketch"\nexclude = ["*.psd", "drafts"]\n')
    settings = Settings.load(nowhere)
    assert settings.model == "sketch"
    assert settings.exclude == ("*.psd", "drafts")


def test_options_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    environment = settings_file(
        tmp_path, 'model = "from-file"\ndevice = "cuda:1"\nbatch_size = 8\npolling = true\n'
    )
    environment |= {"PHOTOINDEX_MODEL": "from-environment", "PHOTOINDEX_BATCH_SIZE": "2"}
    settings = Settings.load(environment, model="from-option", batch_size=None)
    assert settings.model == "from-option"
    assert settings.batch_size == 2
    assert Settings().batch_size is None  # the model says
    assert settings.device == "cuda:1"
    assert settings.polling is True
    assert settings.precision == "auto"


def test_environment_values_are_read_as_what_they_mean(nowhere: dict[str, str]) -> None:
    settings = Settings.load(
        {
            "PHOTOINDEX_LIBRARY": "~/lib",
            "PHOTOINDEX_POLLING": "yes",
            "PHOTOINDEX_SETTLE": "0.5",
            "PHOTOINDEX_EXCLUDE": "*.psd:drafts",
            "PHOTOINDEX_DEVICE": "",
        }
    )
    assert settings.library == Path.home() / "lib"
    assert settings.polling is True
    assert settings.settle == 0.5
    assert settings.exclude == ("*.psd", "drafts")
    assert settings.device == "auto"


def test_paths_become_absolute(nowhere: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert Settings.load(nowhere, library="here").library == Path("/here")
    assert Settings.load(nowhere, library="there/../here").library == Path("/here")


def test_the_home_of_an_unknown_user_is_a_folder_like_any(
    nowhere: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    assert Settings.load(nowhere, library="~nobody-here/x").library == Path("/~nobody-here/x")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("modle = 'x'", "modle"),
        ("batch_size = 0", "batch_size"),
        ("batch_size = true", "batch_size"),
        ("batch_size = 1.5", "batch_size"),
        ("device = 'gpu'", "device"),
        ("device = 3", "device"),
        ("precision = 'fp16'", "precision"),
        ("exclude = '*.psd'", "exclude"),
        ("exclude = [1]", "exclude"),
        ("polling = 'maybe'", "polling"),
        ("settle = -1", "settle"),
        ("settle = nan", "settle"),
        ("library = ''", "library"),
        ("library = 3", "library"),
        ("[model]\nname = 'x'", "model"),
        ("model = ", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_naming_what_is_wrong(
    tmp_path: Path, text: str, named: str
) -> None:
    environment = settings_file(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        Settings.load(environment)
    assert named in str(caught.value)
    assert environment["PHOTOINDEX_CONFIG"] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_named_file_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no settings file .*absent\.toml"):
        Settings.load({"PHOTOINDEX_CONFIG": str(tmp_path / "absent.toml")})


def test_an_unreadable_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the settings file"):
        Settings.load({"PHOTOINDEX_CONFIG": str(tmp_path)})


def test_a_wrong_value_in_the_environment_is_refused(nowhere: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"batch_size = 'many' in the environment should be"):
        Settings.load({"PHOTOINDEX_BATCH_SIZE": "many"})
