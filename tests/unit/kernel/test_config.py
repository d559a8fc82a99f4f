from __future__ import annotations

import pytest

from podium.kernel.config import from_environment, resolve
from podium.kernel.errors import InvalidRequest


def test_later_layers_win_and_every_value_knows_its_origin():
    settings, origins = resolve(
        [("config.toml", {"capacity": 3, "port": 5000}), ("environment", {"capacity": "7"}), ("flag", {})]
    )
    assert (settings.capacity, settings.port, settings.host) == (7, 5000, "127.0.0.1")
    assert (origins["capacity"], origins["port"], origins["host"]) == (
        "environment",
        "config.toml",
        "default",
    )


def test_an_unknown_key_is_refused_with_the_key_that_was_meant():
    with pytest.raises(InvalidRequest) as refused:
        resolve([("config.toml", {"capcity": 3})])
    assert "capcity" in refused.value.message
    assert "capacity" in refused.value.hint


@pytest.mark.parametrize(
    "layer",
    [{"port": "high"}, {"capacity": 0}, {"lease_ttl_s": -1}, {"log_level": "loud"}, {"worker": "perhaps"}],
)
def test_a_wrong_value_names_its_origin_and_key(layer):
    with pytest.raises(InvalidRequest) as refused:
        resolve([("environment", layer)])
    assert refused.value.message.startswith(f"environment: {next(iter(layer))}")


def test_only_settings_are_taken_from_the_environment():
    taken = from_environment({"PODIUM_PORT": "1", "PODIUM_HOME": "/x", "PATH": "/bin", "PODIUM_RUN": "r"})
    assert taken == {"port": "1"}
