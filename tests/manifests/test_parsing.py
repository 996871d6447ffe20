"""The settings of the program that imports DAG files."""

from pathlib import Path

from airflow_platform.dags.check import worker_settings


def test_the_environment_is_airflows_and_nothing_of_whoever_starts_it(monkeypatch):
    monkeypatch.setenv("DEPLOY_TOKEN", "canary")
    settings = worker_settings.environment(Path("/cache/home"), Path("/cache/venv/bin"))
    assert "DEPLOY_TOKEN" not in settings
    assert settings["PATH"].startswith("/cache/venv/bin:")
    assert settings["AIRFLOW_HOME"] == "/cache/home"
