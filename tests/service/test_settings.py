from __future__ import annotations

import pytest

from benchmarks.documents import SERVICE_PAGE, read_out, settings_table
from models.contract import MODEL_PATH
from service.settings import Settings, SettingsError, load_settings


def test_defaults_serve_the_committed_model_on_this_machine_alone():
    settings = load_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.model_path == MODEL_PATH
    assert settings.provider == "auto"


def test_what_is_given_goes_before_the_environment(monkeypatch):
    monkeypatch.setenv("GLIMPSE_PORT", "9001")
    monkeypatch.setenv("GLIMPSE_MAX_PIXELS", "1234")
    assert load_settings().port == 9001
    settings = load_settings(port=9002)
    assert settings.port == 9002
    assert settings.max_pixels == 1234


def test_an_empty_variable_is_as_none(monkeypatch):
    monkeypatch.setenv("GLIMPSE_PORT", "")
    assert load_settings().port == 8000


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("GLIMPSE_PROVIDER", "gpu", "GLIMPSE_PROVIDER: expected 'auto', 'cuda' or 'cpu', got 'gpu'"),
        ("GLIMPSE_PORT", "70000", "GLIMPSE_PORT: expected less than or equal to 65535, got '70000'"),
        ("GLIMPSE_THREADS", "-1", "GLIMPSE_THREADS: expected greater than or equal to 0, got '-1'"),
        ("GLIMPSE_MAX_BODY_BYTES", "ten", "GLIMPSE_MAX_BODY_BYTES: expected a valid integer"),
    ],
)
def test_a_bad_value_is_one_sentence(monkeypatch, variable, value, message):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as failure:
        load_settings()
    assert message in str(failure.value)
    assert "\n" not in str(failure.value)


def test_every_setting_is_documented():
    assert all(field.description for field in Settings.model_fields.values())


def test_the_page_has_every_setting_as_it_is():
    assert read_out("settings", SERVICE_PAGE) == settings_table()
    assert settings_table().count("GLIMPSE_") >= len(Settings.model_fields)
