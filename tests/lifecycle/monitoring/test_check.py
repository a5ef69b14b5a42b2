"""Findings of checks: faults are named, and harmless changes raise no alarm."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from lifecycle.monitoring.check import CheckResult, check
from lifecycle.monitoring.check_report import as_json, check_in_words
from lifecycle.monitoring.findings import Level
from lifecycle.monitoring.log import open_log
from lifecycle.pipeline.lineage import write_lineage
from lifecycle.shared.calibration import OutcomeSums
from lifecycle.shared.chosen_task import METRICS
from lifecycle.shared.distributions import count_distributions
from lifecycle.shared.parts import read_part
from lifecycle.shared.tables import to_columns
from lifecycle.shared.tasks.binary_scores import BinaryScores
from model import contract
from tests.lifecycle.monitoring.conftest import DAY, SINCE, UNTIL, VERSION, Watched, numbers, with_values, write_log
from tests.lifecycle.repository import Repository
from tests.lifecycle.serving.conftest import EXAMPLE, running

ROWS = 3_000
# Kinds of findings about the inputs; a worse performance is a consequence of such faults.
INPUT_FAULTS = {
    *("unit", "constant", "filled", "unseen", "vanished", "missing", "range", "swapped", "season", "schema"),
    *("repeated", "clock"),
}

Rows = Callable[[pa.Table], pa.Table]


def checked(watched: Watched, folder: Path, rows: pa.Table) -> CheckResult:
    """Check a period in which production received these rows."""
    with open_log(write_log(folder, *watched.records(rows)), SINCE, UNTIL) as log:
        return check(log, VERSION, watched.reference, watched.params)


def kinds_and_subjects(check: CheckResult) -> set[tuple[str, str]]:
    return {(finding.kind, finding.subject) for finding in check.findings}


# A few draws are enough for `make test`.
@pytest.mark.parametrize(
    ("seeds", "most"), [(range(20), 1), pytest.param(range(20, 120), 5, marks=pytest.mark.long)], ids=["few", "many"]
)
def test_no_alarm_without_drift(watched: Watched, tmp_path: Path, seeds: range, most: int) -> None:
    """Random rows of the training window raise an alarm in at most one of twenty draws."""
    alarms = [
        kinds_and_subjects(result)
        for seed in seeds
        if (result := checked(watched, tmp_path / str(seed), watched.sample(1_000, seed))).status > Level.OK
    ]
    assert len(alarms) <= most, alarms


def changed(column: str, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Rows:
    return lambda rows: with_values(rows, column, change(numbers(rows, column)))


def every_tenth(wrong: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    return lambda values: np.where(np.arange(len(values)) % 10 == 0, wrong, values)


def stuck(column: str) -> Rows:
    return lambda rows: with_values(rows, column, [rows.column(column)[7].as_py()] * rows.num_rows)


def renamed(column: str, old: str, new: str) -> Rows:
    return lambda rows: with_values(
        rows, column, [new if value == old else value for value in rows.column(column).to_pylist()]
    )


def some(share: float, column: str, value: float) -> Rows:
    def fault(rows: pa.Table) -> pa.Table:
        chosen = np.random.default_rng(0).random(rows.num_rows) < share
        return with_values(rows, column, np.where(chosen, value, numbers(rows, column)))

    return fault


def swapped(*columns: str) -> Rows:
    """Give each column the values of the one before."""

    def fault(rows: pa.Table) -> pa.Table:
        for place, column in enumerate(columns):
            rows = with_values(rows, column, before[columns[place - 1]]) if place else rows
        return with_values(rows, columns[0], before[columns[-1]])

    before: dict[str, NDArray[np.float64]] = {}

    def remember(rows: pa.Table) -> pa.Table:
        before.update({column: numbers(rows, column) for column in columns})
        return fault(rows)

    return remember


def gone(column: str, value: str) -> Rows:
    return lambda rows: rows.filter(pa.compute.not_equal(rows.column(column), value))


def years_away(years: int) -> Rows:
    """Move a twentieth of the times."""

    def fault(rows: pa.Table) -> pa.Table:
        times = rows.column("scheduled_departure").to_pylist()
        moved = [time.replace(year=time.year + years, day=1) if n % 20 == 0 else time for n, time in enumerate(times)]
        return with_values(rows, "scheduled_departure", moved)

    return fault


def doubled(rows: pa.Table) -> pa.Table:
    return pa.concat_tables([rows, rows.slice(0, rows.num_rows // 2)])


def late(share: float) -> Rows:
    """Change outcomes at random until this share is late."""

    def fault(rows: pa.Table) -> pa.Table:
        target = np.array(rows.column(contract.TARGET.name).to_pylist())
        surplus = int(target.sum()) - round(share * len(target))
        changed = np.random.default_rng(0).choice(np.flatnonzero(target == (surplus > 0)), abs(surplus), replace=False)
        target[changed] = surplus < 0
        return with_values(rows, contract.TARGET.name, target)

    return fault


def missing(column: str) -> Rows:
    def fault(rows: pa.Table) -> pa.Table:
        gone = np.random.default_rng(0).random(rows.num_rows) < 0.2
        values = rows.column(column).to_pylist()
        return with_values(rows, column, [None if lost else value for value, lost in zip(values, gone, strict=True)])

    return fault


def flipped(rows: pa.Table) -> pa.Table:
    return with_values(
        rows, contract.TARGET.name, [not value for value in rows.column(contract.TARGET.name).to_pylist()]
    )


class Fault(NamedTuple):
    """A change of the rows, and the finding it must lead to.

    Attributes:
        change: Function that changes the rows.
        kind: Kind of the finding.
        subject: Column or metric of the finding.
        evidence: Part of its evidence.
    """

    change: Rows
    kind: str
    subject: str
    evidence: str


FAULTS = [
    Fault(changed("temperature", lambda value: (value - 32) / 1.8), "unit", "temperature", "degrees Celsius"),
    Fault(changed("dew_point", lambda value: (value - 32) / 1.8), "unit", "dew_point", "degrees Celsius"),
    Fault(changed("distance", lambda value: value * 1.609344), "unit", "distance", "kilometres"),
    Fault(changed("wind_speed", lambda value: value * 0.44704), "unit", "wind_speed", "metres per second"),
    Fault(changed("pressure", lambda value: value * 0.750062), "unit", "pressure", "millimetres of mercury"),
    Fault(changed("humidity", lambda value: value / 100), "unit", "humidity", "share of 1"),
    Fault(changed("plane_seats", lambda value: value * 10), "unit", "plane_seats", "10 times"),
    Fault(stuck("humidity"), "constant", "humidity", "the same value"),
    Fault(stuck("carrier"), "constant", "carrier", "the same value"),
    Fault(renamed("carrier", "UA", "U2"), "unseen", "carrier", "U2 (1"),
    Fault(renamed("carrier", "UA", "U2"), "unseen", "carrier", "Missing since then: UA."),
    Fault(renamed("destination", "ATL", "XXX"), "unseen", "destination", "XXX"),
    Fault(missing("pressure"), "missing", "pressure", "is missing in"),
    Fault(missing("plane_year"), "missing", "plane_year", "is missing in"),
    Fault(changed("distance", every_tenth(11_000)), "range", "distance", "outside of the training range"),
    Fault(some(0.4, "temperature", -50), "range", "temperature", "It is -50 in 40"),
    Fault(some(0.3, "humidity", 0), "range", "humidity", "is 0 in 29"),
    Fault(some(0.3, "humidity", 37.5), "filled", "humidity", "is 37.5 in 29"),
    Fault(some(0.1, "wind_speed", 150), "range", "wind_speed", "what the season may reach"),
    Fault(
        swapped("temperature", "dew_point"), "swapped", "dew_point, temperature", "temperature has those of dew_point"
    ),
    Fault(swapped("wind_speed", "visibility"), "swapped", "visibility, wind_speed", "have each other's values"),
    Fault(
        swapped("temperature", "humidity", "dew_point"),
        "swapped",
        "dew_point, humidity, temperature",
        "humidity has those of temperature",
    ),
    Fault(gone("carrier", "UA"), "vanished", "carrier", "no longer has UA: 0.0% of the rows, before at least 1"),
    Fault(gone("origin", "JFK"), "vanished", "origin", "no longer has JFK"),
    Fault(flipped, "performance", "roc_auc", "flipped"),
    Fault(late(0.6), "base rate", "late", "60.0% late; predicted: "),
    Fault(late(0.08), "base rate", "late", "8.0% late; predicted: "),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind} {fault.subject}")
def test_fault_is_named(watched: Watched, tmp_path: Path, fault: Fault) -> None:
    """The only other finding that needs action may be the worse performance that follows from the fault."""
    result = checked(watched, tmp_path / "log", fault.change(watched.sample(ROWS, 0)))
    assert result.status is Level.ACT
    serious = [finding for finding in result.findings if finding.level is Level.ACT]
    found = [finding for finding in serious if finding.kind in {fault.kind, *INPUT_FAULTS}]
    (named,) = (finding for finding in found if finding.subject == fault.subject)
    assert named.kind == fault.kind
    assert fault.evidence in named.evidence
    # What only the rows of a category have, is gone with it.
    assert {finding.kind for finding in found if finding != named} <= ({"vanished"} & {fault.kind})


@pytest.mark.parametrize("years", [-100, -1, 300])
def test_times_far_from_the_prediction_are_reported(watched: Watched, tmp_path: Path, years: int) -> None:
    (finding,) = checked(watched, tmp_path / "log", years_away(years)(watched.sample(ROWS, 0))).findings
    assert (finding.kind, finding.subject, finding.level) == ("clock", contract.TIME, Level.WARN)
    assert "in 5.0% of the rows" in finding.evidence


def test_repeated_predictions_are_reported(watched: Watched, tmp_path: Path) -> None:
    (finding,) = checked(watched, tmp_path / "copies", doubled(watched.sample(ROWS, 0))).findings
    assert (finding.kind, finding.level) == ("repeated", Level.WARN)
    assert finding.evidence.startswith(
        "33.3% have the scheduled_departure, carrier, flight_number, origin of an earlier"
    )
    assert "33.3% are copies, 0.0% have other inputs" in finding.evidence

    asked_again = doubled(watched.sample(ROWS, 0))
    warmer = np.where(np.arange(asked_again.num_rows) < ROWS, 0, 1) + numbers(asked_again, "temperature")
    (finding,) = checked(watched, tmp_path / "again", with_values(asked_again, "temperature", warmer)).findings
    assert re.search(r": [0-3]\.\d% are copies, 3\d\.\d% have other inputs", finding.evidence)


def test_weather_of_another_season_is_named(watched: Watched, tmp_path: Path) -> None:
    """The model knows a September with temperatures that production has in March."""
    march, september = (read_part(month) for month in ("2013-03", "2013-01"))
    cold = -60 + numbers(september, "temperature")
    september = with_values(september, "temperature", cold)
    scored = september.append_column("prediction", pa.array(watched.predictor.predict(to_columns(september))))
    seen = count_distributions(duckdb.from_arrow(scored), watched.reference.bins)
    reference = watched.reference
    changed = {"periods": {**reference.periods, "2012-09": seen}, "holdout": (*reference.holdout, "2012-09")}
    watched = replace(watched, reference=reference.model_copy(update=changed))
    found = checked(watched, tmp_path / "cold", with_values(march, "temperature", cold)).findings
    (finding,) = (finding for finding in found if finding.kind in INPUT_FAULTS)
    assert (finding.kind, finding.subject, finding.level) == ("season", "inputs", Level.ACT)
    assert finding.evidence == "are those of another season: temperature as in 2012-09. They are compared with 2013-03."
    assert checked(watched, tmp_path / "march", march).findings == []


def test_rows_of_a_month_may_be_predicted_in_another_one(watched: Watched, tmp_path: Path) -> None:
    """A replay has the season of its events, not that of the day on which it runs."""
    january, half_a_year = read_part("2013-01"), timedelta(days=180)
    folder = write_log(tmp_path / "log", *watched.records(january, until=UNTIL + half_a_year))
    with open_log(folder, SINCE + half_a_year, UNTIL + half_a_year) as log:
        assert check(log, VERSION, watched.reference, watched.params).findings == []


def test_the_range_of_a_season_is_that_of_all_its_years(watched: Watched, tmp_path: Path) -> None:
    """A second, milder year makes no temperature of the first one impossible."""
    reference = watched.reference
    mild = with_values(read_part("2013-03"), "temperature", np.full(ROWS, 40.0))
    scored = mild.append_column("prediction", pa.array(watched.predictor.predict(to_columns(mild))))
    seen = count_distributions(duckdb.from_arrow(scored), reference.bins)
    periods = {**reference.periods, **{f"2014-{month}": seen for month in ("01", "02", "03")}}
    two_years = replace(watched, reference=reference.model_copy(update={"periods": periods}))
    rows = watched.sample(ROWS, 0)
    cold = with_values(rows, "temperature", np.where(np.arange(ROWS) % 10 == 0, 10.0, numbers(rows, "temperature")))
    found = kinds_and_subjects(checked(two_years, tmp_path / "log", cold))
    assert ("range", "temperature") not in found


def test_fault_of_the_last_days_is_found_and_dated(watched: Watched, tmp_path: Path) -> None:
    """Kilometres in a tenth of the rows are no other unit as a whole, but they are on the days that have them."""
    rows = watched.sample(ROWS, 0)
    last = np.arange(ROWS) >= ROWS * 25 // 28
    kilometres = with_values(rows, "distance", numbers(rows, "distance") * np.where(last, 1.609344, 1))
    unseen = [
        "XX" if late and place % 2 else carrier
        for place, (carrier, late) in enumerate(zip(kilometres.column("carrier").to_pylist(), last, strict=True))
    ]
    result = checked(watched, tmp_path / "log", with_values(kilometres, "carrier", unseen))
    since = {finding.kind: finding.since for finding in result.findings}
    assert since["unseen"] == "2013-03-26"
    assert "It began on 2013-03-26." in check_in_words(result, watched.reference)
    whole = np.arange(ROWS) >= ROWS * 21 // 28
    result = checked(
        watched,
        tmp_path / "week",
        with_values(rows, "distance", numbers(rows, "distance") * np.where(whole, 1.609344, 1)),
    )
    (unit,) = (finding for finding in result.findings if finding.kind == "unit")
    assert (unit.subject, unit.since) == ("distance", "2013-03-22")


def test_outcomes_of_one_kind_only_are_called_selected(watched: Watched, tmp_path: Path) -> None:
    predictions, feedback = watched.records(watched.sample(ROWS, 0))
    is_late = feedback.column("outcome").to_numpy(zero_copy_only=False)
    for share_of_others in (0, 0.2):
        known = is_late | (np.random.default_rng(0).random(ROWS) < share_of_others)
        folder = tmp_path / str(share_of_others)
        with open_log(write_log(folder, predictions, feedback.filter(pa.array(known))), SINCE, UNTIL) as log:
            result = check(log, VERSION, watched.reference, watched.params)
        assert ("labels", "outcomes") in kinds_and_subjects(result)
        assert not {"base rate", "calibration"} & {finding.kind for finding in result.findings}


def test_outcomes_reported_at_random_or_not_yet_are_not_called_selected(watched: Watched, tmp_path: Path) -> None:
    predictions, feedback = watched.records(watched.sample(ROWS, 0))
    early = np.arange(ROWS) < ROWS * 2 // 3
    for name, known in {"random": np.random.default_rng(0).random(ROWS) < 0.3, "not yet": early}.items():
        with open_log(write_log(tmp_path / name, predictions, feedback.filter(pa.array(known))), SINCE, UNTIL) as log:
            assert check(log, VERSION, watched.reference, watched.params).findings == []


def test_break_in_the_outcomes_is_dated(watched: Watched, tmp_path: Path) -> None:
    """The outcomes of the last ten days are those of other flights."""
    predictions, feedback = watched.records(watched.sample(ROWS, 0))
    outcomes = feedback.column("outcome").to_numpy(zero_copy_only=False).copy()
    last = np.arange(ROWS * 18 // 28, ROWS)
    outcomes[last] = outcomes[np.random.default_rng(0).permutation(last)]
    feedback = feedback.set_column(2, "outcome", pa.array(outcomes))
    with open_log(write_log(tmp_path / "log", predictions, feedback), SINCE, UNTIL) as log:
        result = check(log, VERSION, watched.reference, watched.params)
    (found,) = (finding for finding in result.findings if finding.kind == "break")
    assert abs((datetime.fromisoformat(found.since) - datetime(2013, 3, 19)).days) <= 2  # noqa: DTZ001 - a day
    assert found.level is Level.ACT


def test_calibration_of_outcomes_is_that_of_a_regression(watched: Watched, tmp_path: Path) -> None:
    rows = watched.sample(ROWS, 0)
    with open_log(write_log(tmp_path / "log", *watched.records(rows)), SINCE, UNTIL) as log:
        sums = OutcomeSums.of(log.outcomes, "floor(time / 86400)")
    target = rows.column(contract.TARGET.name).to_numpy(zero_copy_only=False).astype(float)
    probability = watched.predictor.predict(to_columns(rows)).astype(float)
    slope, _ = np.polyfit(probability, target, 1)
    assert sums.slope_interval(0.95).value == pytest.approx(slope)
    (surplus,) = sums.surplus_intervals(0.95).values()
    assert surplus.value == pytest.approx(target.mean() - probability.mean())
    assert surplus.low < surplus.value < surplus.high
    assert sums.deviations() == {"late": pytest.approx(target.std())}


def test_rows_of_few_days_raise_no_alarm(watched: Watched, tmp_path: Path) -> None:
    """One day has one weather, which is no drift, and few weekdays, of which none has vanished."""
    days = watched.window.column(contract.TIME).to_numpy().astype("datetime64[D]")
    for day in np.unique(days)[:6]:
        rows = watched.window.filter(pa.array(days == day))
        enough = pa.concat_tables([rows, *[watched.window.filter(pa.array(days == day + 1))] * (rows.num_rows < 200)])
        assert checked(watched, tmp_path / str(day), enough).findings == [], day


def test_few_rows_lead_to_no_finding(watched: Watched, tmp_path: Path) -> None:
    few = changed("humidity", lambda value: value / 100)(watched.sample(watched.params.monitoring.rows - 1, 0))
    result = checked(watched, tmp_path / "log", few)
    assert (result.status, result.drifts) == (Level.OK, [])


def test_outcomes_of_a_single_day_have_no_interval(watched: Watched, tmp_path: Path) -> None:
    result = checked(watched, tmp_path / "log", watched.sample(1, 0))
    metrics = json.loads(json.dumps(as_json(result, UNTIL, 0), allow_nan=False))["performance"]["metrics"]
    assert metrics["log_loss"]["value"] > 0
    assert (metrics["log_loss"]["low"], metrics["log_loss"]["high"]) == (None, None)
    assert "[-, -], promised" in check_in_words(result, watched.reference)
    assert result.status == Level.OK


def test_drift_counts_by_the_importance_of_the_column(watched: Watched, tmp_path: Path) -> None:
    """A log of evening flights only is not a fault of the data, but the model depends on the hour."""
    rows = watched.sample(6_000, 0)
    evening = rows.filter(pa.compute.greater(pa.compute.hour(rows.column("scheduled_departure")), 17))
    result = checked(watched, tmp_path / "important", evening)
    assert ("drift", "inputs") in kinds_and_subjects(result)
    assert result.status is Level.WARN
    assert result.importance > watched.params.monitoring.drifted_importance

    unimportant = changed("plane_engines", lambda value: value % 2 + 3)(watched.sample(ROWS, 0))
    result = checked(watched, tmp_path / "unimportant", unimportant)
    assert [drift.variable.name for drift in result.drifts if drift.drifted] == ["plane_engines"]
    assert result.status is Level.OK


def test_fewer_gusts_are_no_fault_but_no_gust_at_all_is_one(watched: Watched, tmp_path: Path) -> None:
    """Gusts are rarer in some months than in others, and may be rarer still in months that the model does not know."""
    rows = watched.sample(ROWS, 0)
    gusts = numbers(rows, "wind_gust")
    usual = max(month.counts["wind_gust"][-1] / month.rows for month in watched.reference.periods.values())
    for share_present, expected in ((1 - usual - 0.1, set()), (0, {("missing", "wind_gust")})):
        present = np.random.default_rng(0).permutation(np.flatnonzero(~np.isnan(gusts)))[: round(share_present * ROWS)]
        calm = np.where(np.isin(np.arange(ROWS), present), gusts, np.nan)
        result = checked(watched, tmp_path / str(share_present), with_values(rows, "wind_gust", calm))
        assert {(kind, name) for kind, name in kinds_and_subjects(result) if kind == "missing"} == expected


def test_predictions_that_stop_are_reported(watched: Watched, tmp_path: Path) -> None:
    predictions, feedback = watched.records(watched.sample(ROWS, 0))
    until_yesterday = predictions.filter(pa.compute.less(predictions.column("time"), UNTIL.timestamp() - DAY))
    with open_log(write_log(tmp_path / "log", until_yesterday, feedback), SINCE, UNTIL) as log:
        result = check(log, VERSION, watched.reference, watched.params)
    assert kinds_and_subjects(result) == {("volume", "predictions")}


def test_changed_schema_is_named(watched: Watched, tmp_path: Path) -> None:
    folder = write_log(tmp_path / "log", *watched.records(watched.sample(ROWS, 0)))
    refused = {
        "id": ["1", "2", "3", "4"],
        "time": [SINCE.timestamp() + 1, SINCE.timestamp() + 2, SINCE.timestamp() + 3, UNTIL.timestamp()],
        "model_version": [VERSION] * 4,
        "field": ["dest", "dest", "carrier", "dest"],
        "error": ["Object contains unknown field `dest`"] * 2 + ["carrier must be a string"] + ["after the period"],
        "requests": [200, 300, 3, 1_000],
    }
    (tmp_path / "log/refusals").mkdir()
    pq.write_table(pa.table(refused), tmp_path / "log/refusals/2013-03.parquet")
    with open_log(folder, SINCE, UNTIL) as log:
        (finding,) = check(log, VERSION, watched.reference, watched.params).findings
    assert (finding.kind, finding.subject, finding.level) == ("schema", "dest", Level.ACT)
    assert finding.evidence == "made 500 requests invalid: Object contains unknown field `dest`."


def test_client_that_renames_a_column_is_found_in_the_log_of_the_service(
    watched: Watched, finished: Repository, tmp_path: Path
) -> None:
    write_lineage()
    since = datetime.now(UTC)
    rows = watched.sample(ROWS // 10, 0).select(EXAMPLE).to_pylist()
    requests = [row | {"scheduled_departure": row["scheduled_departure"].isoformat()} for row in rows]
    renamed = [{"airline" if name == "carrier" else name: value for name, value in row.items()} for row in requests]
    with running(finished.folder, tmp_path, MODEL_VERSION=VERSION) as service:
        service.predict(*requests)
        assert {service.post(json=row).status_code for row in renamed[:50]} == {400}
        assert service.stop() == 0
    with open_log(f"sqlite:///{tmp_path}/predictions.db", since, datetime.now(UTC)) as log:
        result = check(log, VERSION, watched.reference, watched.params)
    assert (result.rows, result.status) == (len(rows), Level.ACT)
    (schema,) = (finding for finding in result.findings if finding.kind == "schema")
    assert schema.subject in {"airline", "carrier"}
    assert "made 50 requests invalid" in schema.evidence


def test_live_metrics_are_those_of_the_rows(watched: Watched, tmp_path: Path) -> None:
    """The metrics of the counts equal those of the rows to four digits."""
    rows = watched.sample(ROWS, 0)
    performance = checked(watched, tmp_path / "log", rows).performance
    assert performance
    target = rows.column(contract.TARGET.name).to_numpy(zero_copy_only=False)
    probability = watched.predictor.predict(to_columns(rows))
    exact = BinaryScores(target, probability, bins=10, threshold=0.5).metrics(np.ones((1, ROWS), dtype=np.uint8))[0]
    for name, live in performance.metrics.items():
        assert live.value == pytest.approx(exact[[*METRICS].index(name)], abs=1e-4)
        assert live.low < live.value < live.high
    assert performance.coverage == 1
    assert performance.delay == pytest.approx((1, 1))
    assert performance.observed == pytest.approx({"base_rate": target.mean()})
    assert performance.predicted == pytest.approx({"base_rate": probability.mean()})


def test_metrics_are_expected_before_outcomes_arrive(watched: Watched, tmp_path: Path) -> None:
    """Without any outcome, the estimate is near the metrics that the outcomes show later, and doubts are named."""
    rows = read_part("2013-03")
    predictions, feedback = watched.records(rows)
    with open_log(write_log(tmp_path / "none", predictions, feedback.slice(0, 0)), SINCE, UNTIL) as log:
        early = check(log, VERSION, watched.reference, watched.params)
    later = checked(watched, tmp_path / "all", rows)
    assert early.performance is None
    assert early.expected
    assert later.performance
    assert early.expected.doubts == []
    for name, expected in early.expected.metrics.items():
        assert expected.low <= later.performance.metrics[name].value <= expected.high
        assert expected.low < expected.value < expected.high
    printed = check_in_words(early, watched.reference)
    assert "Expected of all predictions, by their probabilities alone:\n  ROC AUC" in printed
    assert json.loads(json.dumps(as_json(early, UNTIL, 0)))["expected"]["doubts"] == []

    wrong = checked(watched, tmp_path / "wrong", changed("distance", lambda value: value * 1.609344)(rows))
    assert wrong.expected
    assert wrong.expected.doubts == ["inputs are wrong"]
    assert "Do not rely on these: inputs are wrong." in check_in_words(wrong, watched.reference)
    rate = checked(watched, tmp_path / "rate", late(0.6)(rows))
    assert rate.expected
    assert "the outcomes that are known differ from the predictions on average" in rate.expected.doubts


def test_expected_loss_is_reported_without_outcomes(watched: Watched, tmp_path: Path) -> None:
    """A model that was promised to be nearly perfect has probabilities that are too close to one another for that."""
    metrics = watched.reference.metrics | {"roc_auc": {"value": 0.99, "low": 0.985, "high": 0.995}}
    gaps = {name: gap.model_copy(update={"value": 0.0, "error": 0.01}) for name, gap in watched.reference.gaps.items()}
    reference = watched.reference.model_copy(update={"metrics": metrics, "gaps": gaps})
    predictions, feedback = watched.records(watched.sample(ROWS, 0))
    with open_log(write_log(tmp_path / "log", predictions, feedback.slice(0, 0)), SINCE, UNTIL) as log:
        (finding,) = check(log, VERSION, reference, watched.params).findings
    assert (finding.kind, finding.subject, finding.level) == ("expected performance", "roc_auc", Level.WARN)
    assert "0.990 was promised, and at most 0.05 less is allowed" in finding.evidence
