import logging
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskinity_data.errors import SettingsError
from taskinity_data.policy import parse_nbytes
from taskinity_data.settings import NAMES, Settings, load_settings, variable_of


def test_defaults_hold_where_nothing_is_set(tmp_path):
    settings = load_settings({}, tmp_path)
    assert settings == Settings()
    assert str(settings.run_dir) == ".taskinity"
    assert settings.log_dir is None
    assert {settings.source_of(name) for name in NAMES} == {"default"}


def test_the_seven_published_names_are_read(tmp_path):
    assert {variable_of(name) for name in NAMES} == {
        "TASKINITY_MAX_WORKERS",
        "TASKINITY_CHUNK_SIZE",
        "TASKINITY_SCHEDULER",
        "TASKINITY_OUTPUT_DIR",
        "TASKINITY_RUN_DIR",
        "TASKINITY_LOG_DIR",
        "TASKINITY_LOG_LEVEL",
    }
    environ = {
        "TASKINITY_MAX_WORKERS": "3",
        "TASKINITY_CHUNK_SIZE": "64MiB",
        "TASKINITY_SCHEDULER": "processes",
        "TASKINITY_OUTPUT_DIR": "s3://bucket/out",
        "TASKINITY_RUN_DIR": "runs",
        "TASKINITY_LOG_DIR": str(tmp_path),
        "TASKINITY_LOG_LEVEL": "debug",
    }
    settings = load_settings(environ, tmp_path)
    assert settings.max_workers == 3
    assert settings.chunk_size == "64MiB"
    assert settings.scheduler == "processes"
    assert settings.output_dir == "s3://bucket/out"
    assert str(settings.run_dir) == "runs"
    assert settings.log_dir == tmp_path
    assert settings.log_level == "DEBUG"


def test_argument_beats_environment_beats_dotenv_beats_default(tmp_path):
    (tmp_path / ".env").write_text(
        "# mine\nTASKINITY_MAX_WORKERS=2\nTASKINITY_CHUNK_SIZE=1MiB\nTASKINITY_SCHEDULER=threads\n"
    )
    environ = {"TASKINITY_MAX_WORKERS": "3", "TASKINITY_CHUNK_SIZE": "2MiB"}
    settings = load_settings(environ, tmp_path, max_workers=4, chunk_size=None)
    assert (settings.max_workers, settings.chunk_size, settings.scheduler) == (4, "2MiB", "threads")
    assert settings.source_of("max_workers") == "argument"
    assert settings.source_of("chunk_size") == "TASKINITY_CHUNK_SIZE in the environment"
    assert settings.source_of("scheduler") == f"TASKINITY_SCHEDULER in {tmp_path / '.env'}, line 4"
    assert settings.source_of("log_level") == "default"


def test_the_environment_and_the_working_directory_are_read_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASKINITY_MAX_WORKERS", "5")
    (tmp_path / ".env").write_text("TASKINITY_LOG_LEVEL=ERROR\n")
    settings = load_settings()
    assert (settings.max_workers, settings.log_level) == (5, "ERROR")


def test_reading_changes_no_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("TASKINITY_LOG_LEVEL", raising=False)
    (tmp_path / ".env").write_text("TASKINITY_LOG_LEVEL=ERROR\n")
    environ = {"HOME": "/nowhere"}
    load_settings(environ, tmp_path)
    assert environ == {"HOME": "/nowhere"}
    import os

    assert "TASKINITY_LOG_LEVEL" not in os.environ


def test_an_empty_value_counts_as_not_set(tmp_path):
    settings = load_settings({"TASKINITY_MAX_WORKERS": ""}, tmp_path)
    assert settings.max_workers is None
    assert settings.source_of("max_workers") == "default"


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("TASKINITY_MAX_WORKERS", "0", "write e.g. 4"),
        ("TASKINITY_MAX_WORKERS", "two", "write e.g. 4"),
        ("TASKINITY_MAX_WORKERS", "-1", "write e.g. 4"),
        ("TASKINITY_MAX_WORKERS", "2.0", "write e.g. 4"),
        ("TASKINITY_CHUNK_SIZE", "64 MiBs", "write e.g. auto, 64MiB"),
        ("TASKINITY_CHUNK_SIZE", "0", "write e.g. auto, 64MiB"),
        ("TASKINITY_CHUNK_SIZE", "big", "write e.g. auto, 64MiB"),
        ("TASKINITY_SCHEDULER", "  ", "give it a value or remove it"),
        ("TASKINITY_LOG_LEVEL", "WARNIG", "Did you mean 'WARNING'?"),
        ("TASKINITY_LOG_LEVEL", "7", "Levels are DEBUG"),
        ("TASKINITY_RUN_DIR", "s3://bucket/runs", "give a local directory"),
    ],
)
def test_a_value_that_cannot_be_understood_names_variable_value_and_an_example(
    variable, text, says, tmp_path
):
    with pytest.raises(SettingsError) as caught:
        load_settings({variable: text}, tmp_path)
    assert f"{variable}={text}" in str(caught.value)
    assert says in str(caught.value)
    assert caught.value.variable == variable


def test_a_bad_value_in_dotenv_names_file_and_line(tmp_path):
    path = tmp_path / ".env"
    path.write_text("A=1\n\n# workers\nexport TASKINITY_MAX_WORKERS='many'\n")
    with pytest.raises(SettingsError) as caught:
        load_settings({}, tmp_path)
    assert str(caught.value).startswith(f"{path}, line 4: TASKINITY_MAX_WORKERS=many:")
    assert (caught.value.path, caught.value.line) == (str(path), 4)


def test_a_bad_value_behind_a_byte_order_mark_is_in_line_one(tmp_path):
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfTASKINITY_MAX_WORKERS=many\r\n")
    with pytest.raises(SettingsError, match=r"\.env, line 1: TASKINITY_MAX_WORKERS=many:"):
        load_settings({}, tmp_path)


def test_of_two_lines_for_one_name_the_last_holds_and_is_named(tmp_path):
    (tmp_path / ".env").write_text("TASKINITY_MAX_WORKERS=2\nTASKINITY_MAX_WORKERS=3\n")
    settings = load_settings({}, tmp_path)
    assert settings.max_workers == 3
    assert settings.source_of("max_workers").endswith("line 2")


def test_a_dotenv_that_is_no_text_is_an_error_that_names_it(tmp_path):
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00T")
    with pytest.raises(SettingsError, match=r"\.env can't be read"):
        load_settings({}, tmp_path)


def test_a_folder_setting_that_names_a_file_is_refused(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(SettingsError, match="it is a file"):
        load_settings({"TASKINITY_RUN_DIR": str(tmp_path / "runs")}, tmp_path)


def test_a_bad_argument_is_named_as_the_argument(tmp_path):
    with pytest.raises(SettingsError, match=r"^max_workers=0: not a whole number"):
        load_settings({}, tmp_path, max_workers=0)


def test_an_unknown_argument_is_an_error_with_close_names(tmp_path):
    with pytest.raises(SettingsError, match=r"'max_worker' is not a setting. Did you mean"):
        load_settings({}, tmp_path, max_worker=2)
    with pytest.raises(SettingsError, match=r"'zzz' is not a setting. Settings are"):
        Settings().source_of("zzz")


def test_unknown_names_are_warned_of_with_close_names_and_place(tmp_path, caplog):
    (tmp_path / ".env").write_text("TASKINITY_ZZZ=1\n")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):  # as a run does; it warns once
            load_settings({"TASKINITY_MAX_WORKER": "2", "PATH": "/bin"}, tmp_path)
    first, second = caplog.messages
    assert first.startswith("TASKINITY_MAX_WORKER in the environment is not a setting")
    assert "Did you mean TASKINITY_MAX_WORKERS?" in first
    assert str(tmp_path / ".env") in second
    assert "Known are TASKINITY_MAX_WORKERS" in second


def test_a_name_in_small_letters_is_warned_of_too(tmp_path, caplog):
    (tmp_path / ".env").write_text("taskinity_max_workers=1\n")
    with caplog.at_level(logging.WARNING):
        assert load_settings({}, tmp_path).max_workers is None
    assert "taskinity_max_workers" in caplog.text
    assert "Did you mean TASKINITY_MAX_WORKERS?" in caplog.text


@given(st.text("0123456789_.kKmMiIbBxs ", min_size=1, max_size=8))
def test_a_size_that_policy_understands_is_a_chunk_size_here_too(text):
    text = text.strip()
    try:
        parse_nbytes(text)
    except SettingsError:
        return
    assert load_settings({}, Path("/"), chunk_size=text).chunk_size == text


def test_settings_survive_pickling_with_their_sources(tmp_path):
    settings = load_settings({"TASKINITY_MAX_WORKERS": "3"}, tmp_path)
    again = pickle.loads(pickle.dumps(settings))
    assert again == settings
    assert again.source_of("max_workers") == settings.source_of("max_workers")
