"""``run --report``: the report is there however the run ended, and its place is told."""

import json

RUN = ("run", "totals.flow", "--tasks", "my_tasks.py", "--input", "data=numbers.csv")


def test_a_run_leaves_the_report_where_it_was_asked_for_and_says_so(folder, call):
    said = call(*RUN, "--input", "factor=2", "--report", "seen/r.html", "--json")
    assert said.exit_code == 0
    path = folder / "seen" / "r.html"
    assert json.loads(said.stdout)["report"] == str(path)
    assert f"Report: {path}" in said.stderr
    assert "<h1>Totals</h1>" in path.read_text()


def test_a_run_that_failed_has_its_report_too(folder, call):
    said = call(*RUN, "--input", "factor=two", "--report", "r.html")
    assert said.exit_code == 1
    assert "invalid literal for int()" in (folder / "r.html").read_text()


def test_a_report_that_cannot_be_written_is_told_and_costs_no_answer(folder, call):
    said = call(*RUN, "--input", "factor=2", "--report", "numbers.csv/r.html", "--json")
    assert said.exit_code == 0
    assert json.loads(said.stdout)["status"] == "COMPLETED"
    assert "report" not in json.loads(said.stdout)
    assert "the run is completed, but the report can't be written" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_dry_run_has_nothing_to_report(folder, call):
    said = call(*RUN, "--input", "factor=2", "--report", "r.html", "--dry-run")
    assert said.exit_code == 2
    assert "--dry-run, which runs nothing" in said.stderr
    assert not (folder / "r.html").exists()
