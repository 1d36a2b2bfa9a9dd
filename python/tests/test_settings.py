"""The settings of a program."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from tidecast import apps
from tidecast.settings import NAMES, Settings


@pytest.mark.parametrize(
    ("config", "url", "plain_format"),
    [
        ({}, None, "object"),
        ({"SSE_REDIS_URL": "redis://one", "REDIS_URL": "redis://two"}, "redis://one", "object"),
        ({"SSE_REDIS_URL": "", "REDIS_URL": "redis://two"}, "redis://two", "object"),
        ({"REDIS_URL": "redis://two", "SSE_REDIS_HOST": "three"}, "redis://two", "object"),
        ({"SSE_REDIS_HOST": "three"}, "redis://three:6379/0", "array"),
        ({"SSE_REDIS_PORT": 7}, "redis://localhost:7/0", "array"),
        ({"SSE_REDIS_DB": 0}, "redis://localhost:6379/0", "array"),
        ({"SSE_REDIS_HOST": "", "SSE_REDIS_DB": None}, None, "object"),
        ({"SSE_REDIS_HOST": "::1"}, "redis://[::1]:6379/0", "array"),
        ({"SSE_REDIS_HOST": "a@b/c?d"}, "redis://a%40b%2Fc%3Fd:6379/0", "array"),
    ],
)
def test_the_backend_follows_from_the_settings(config: dict[str, object], url: str | None, plain_format: str) -> None:
    settings = Settings.of(config)
    assert (settings.redis_url, settings.plain_format) == (url, plain_format)


def test_numbers_and_booleans() -> None:
    assert Settings.of({}) == Settings()
    config = {
        "SSE_KEEP_ALIVE_SECONDS": "0.5",
        "SSE_RETRY_MS": 100,
        "SSE_MAX_STREAM_SECONDS": 0,
        "SSE_MULTI_CHANNEL": "yes",
    }
    expected = Settings(keep_alive_seconds=0.5, retry_ms=100, max_stream_seconds=0, multi_channel=True)
    assert Settings.of(config) == expected
    assert not Settings.of({"SSE_MULTI_CHANNEL": "0"}).multi_channel


@pytest.mark.parametrize("value", ["soon", -1, "nan", [], "1e999"])
def test_an_invalid_number_is_refused_by_its_name(value: object) -> None:
    with pytest.raises(ValueError, match="SSE_RETRY_MS"):
        Settings.of({"SSE_RETRY_MS": value})


def test_an_application_is_read_again_only_if_its_configuration_has_changed(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every publish and every stream read all settings anew, which took longer than publishing."""
    reads = []
    read = Settings.of

    def counted(config: dict[str, Any]) -> Settings:
        reads.append(config)
        return read(config)

    monkeypatch.setattr(Settings, "of", counted)
    assert apps.settings_of(app) is apps.settings_of(app)
    assert len(reads) == 1
    app.config["SSE_RETRY_MS"] = 7
    assert [apps.settings_of(app).retry_ms for _ in range(2)] == [7, 7]
    assert len(reads) == 2


def test_every_setting_has_its_name_in_the_list() -> None:
    """A name that is missing there would be read once and never again."""
    names = set()

    class Recording(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            names.add(name)
            return super().get(name, default)

    Settings.of(Recording(SSE_HUB_URL="http://hub", SSE_HUB_KEY="key"))
    assert names == set(NAMES)
