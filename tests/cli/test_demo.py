"""``taskinity-data demo``: its answer, against DuckDB over the same files."""

import json
import shutil
from contextlib import ExitStack

import duckdb
import pytest

from taskinity_data.cli.commands.demo import find_flights
from taskinity_data.errors import SourceNotFound

pytestmark = pytest.mark.thorough

QUERY = """
    select carrier,
        case when sched_dep_time < 1200 then 'morning'
            when sched_dep_time < 1800 then 'afternoon' else 'evening' end as part_of_day,
        count(*) as flights, count(*) filter (where arr_delay >= 15) as late,
        avg(dep_delay) as mean_dep_delay, avg(arr_delay) as mean_arr_delay,
        avg(dep_delay - arr_delay) as mean_made_up, name
    from read_parquet('{flights}') join read_csv('{airlines}', header = true) using (carrier)
    where arr_delay is not null group by all
    order by carrier, min(sched_dep_time)
"""


def by_duckdb(flights, airlines):
    relation = duckdb.sql(QUERY.format(flights=flights, airlines=airlines))
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def test_the_answer_over_the_whole_year_is_duckdb_s(call_apart, datasets, tmp_path):
    said = call_apart("demo", "--workers", "2", "--size", "72MB", "--json", cwd=tmp_path)
    assert said.exit_code == 0, said.stderr
    answer = json.loads(said.stdout)
    expected = by_duckdb(datasets / "flights" / "*.parquet", datasets / "airlines.csv")
    assert len(expected) == 44
    assert [list(row) for row in answer["value"]] == [list(row) for row in expected]
    for found, row in zip(answer["value"], expected, strict=True):
        for name in ("carrier", "part_of_day", "name"):
            assert found.pop(name) == row.pop(name)
        # The year was written twice.
        row |= {name: 2 * row[name] for name in ("flights", "late")}
        assert found == pytest.approx(row, rel=1e-12)
    assert answer["ledger"]["rows"]["processed"] == 2 * 336_776
    assert answer["is_same_as_pandas"] is True
    assert answer["pandas_s"] > 0


def test_the_demo_shows_flow_plan_answer_and_time_and_ends_with_a_report(
    call, datasets, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    said = call("demo", "--size", "1MB")
    assert said.exit_code == 0, said.stderr
    for text in (
        "│       NameAirlines        │",
        "ChunkPlan of",
        "All flights that left New York in 2013, 1 time as CSV: ",
        "FlightDelays: COMPLETED",
        "Rows     336,776, all processed",
        " to open and plan, ",
        "The answers are the same.",
    ):
        assert text in said.stdout, text
    page = tmp_path / ".taskinity" / "demo.html"
    assert said.stdout.splitlines()[-1].endswith(f": {page}")
    assert "336,776" in page.read_text(encoding="utf-8")


def test_outside_a_checkout_the_month_in_the_package_is_taken(tmp_path, datasets):
    shutil.copy(datasets / "flights" / "2013-02.parquet", tmp_path)
    shutil.copy(datasets / "airlines.csv", tmp_path)
    with ExitStack() as stack:
        flights = find_flights(stack, checkout=tmp_path / "nowhere", shipped=tmp_path)
        expected = by_duckdb(flights.data, flights.airlines)
    assert sum(row["flights"] for row in expected) == 23_611
    assert "2013-02, which come with the package" in flights.words


def test_where_there_are_no_flights_it_says_where_they_should_be(tmp_path):
    with ExitStack() as stack, pytest.raises(SourceNotFound, match="install"):
        find_flights(stack, checkout=tmp_path, shipped=tmp_path)
