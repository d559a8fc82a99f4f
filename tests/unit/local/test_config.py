"""The layers of the configuration as they are on disk and in the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from podium.kernel.config import Settings
from podium.kernel.errors import InvalidRequest, Unavailable
from podium.local.config import home_path, load_settings


def test_without_any_layer_everything_is_its_default(tmp_path: Path) -> None:
    settings, origins = load_settings(tmp_path, environ={})
    assert settings == Settings()
    assert set(origins.values()) == {"default"}


def test_a_later_layer_wins_and_every_value_knows_its_origin(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('capacity = 2\nport = 1000\nlog_level = "debug"\n')
    environ = {"PODIUM_PORT": "2000", "PODIUM_CAPACITY": "3", "PODIUM_ELSE": "x"}
    settings, origins = load_settings(tmp_path, {"port": 3000, "host": None}, environ)
    assert (settings.capacity, settings.port, settings.log_level) == (3, 3000, "debug")
    assert (origins["capacity"], origins["port"], origins["log_level"], origins["host"]) == (
        "environment", "flag", str(file), "default",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1\n", "there is no setting 'prot'"),
        ("port = 70000\n", "port"),
        ('worker = "perhaps"\n', "worker"),
        ("port = \n", "config.toml"),
        ("[section]\nport = 1\n", "there is no setting 'section'"),
    ],
)
def test_a_wrong_file_is_refused_and_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(InvalidRequest) as caught:
        load_settings(tmp_path, environ={})
    assert said in caught.value.message
    assert "config.toml" in caught.value.message


def test_a_misspelt_setting_is_answered_with_the_one_that_was_meant(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("capcity = 1\n")
    with pytest.raises(InvalidRequest) as caught:
        load_settings(tmp_path, environ={})
    assert caught.value.hint == "did you mean 'capacity'?"


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidRequest):
        load_settings(tmp_path, environ={})


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(Unavailable):
        load_settings(tmp_path, environ={})


def test_the_home_is_absolute_wherever_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert home_path({"PODIUM_HOME": "here"}) == tmp_path / "here"
    assert home_path({}) == Path.home() / ".podium"


def test_harnesses_are_a_table_of_the_file_and_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[harnesses]\nmine = "package.module:Class"\n')
    settings, origins = load_settings(tmp_path, environ={"PODIUM_HARNESSES": "x"})
    assert settings.harnesses == {"mine": "package.module:Class"}
    assert origins["harnesses"] == str(tmp_path / "config.toml")


@pytest.mark.parametrize("line", ['mine = "package.module"', 'mine = "a b:C"', "mine = 3", '"a b" = "a:B"'])
def test_a_harness_that_is_not_written_as_one_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "config.toml").write_text(f"[harnesses]\n{line}\n")
    with pytest.raises(InvalidRequest, match=r"config.toml: harnesses"):
        load_settings(tmp_path, environ={})
