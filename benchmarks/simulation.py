"""Replay the months after a model's window against the running service, under three policies of retraining.

Hour by hour the service is asked what was known then, and told each outcome a day later. At the end of a month a policy
may retrain: new months are ingested, a model is trained and compared, and merged where it passes the gate. What the
service stamps with today's time is moved to the simulated hour once a month is over; nothing else is made up.
"""

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from lifecycle.monitoring.check import check
from lifecycle.monitoring.check_report import as_json
from lifecycle.monitoring.log import open_log, outcomes_since
from lifecycle.monitoring.watched import watched
from lifecycle.pipeline.ingest import ingest
from lifecycle.retraining.policy import due
from lifecycle.retraining.renew import renew
from lifecycle.shared.files import write_text
from lifecycle.shared.intervals import jackknife, leave_out_each
from lifecycle.shared.metrics import METRICS, Scores
from lifecycle.shared.months import month_path, month_range
from lifecycle.shared.params import load_params
from lifecycle.shared.vega import to_svg
from model import contract
from tests.lifecycle import in_process
from tests.lifecycle.registry.commands import promote, register
from tests.lifecycle.repository import ROOT, Repository, change_params, copied_project
from tests.lifecycle.serving.conftest import running

REPORT, PICTURE = ROOT / "benchmarks/simulation.md", ROOT / "benchmarks/simulation.svg"
WINDOW, HOLDOUT = ("2013-01", "2013-03"), "2013-04"
LIVE = month_range("2013-05", "2013-12")
DAY = 86_400
_CONFIDENCE = 0.95
_GAINS = "| | gain | interval | |\n| --- | ---: | ---: | --- |"
# Above the simulated times, below those that the service stamps.
_TODAY = 1.6e9

TEMPLATE = """\
# Retraining, simulated

Written by `make -C benchmarks simulation`: a model of {window}, judged on {holdout}, in front of the flights of {live}.
Three policies, each with its own clone, registry, service and prediction log.

![ROC AUC by month of three policies](simulation.svg)

| | {months} | mean | trainings |
| --- | {rule} | ---: | ---: |
{lines}

What a policy gains in mean ROC AUC over another one, with 95% intervals by days:

{gains}

The triggered policy is what `retraining` in params.yaml says; it makes {share:.0%} of the trainings of the monthly one.
The gates are those of params.yaml. What each trained for, and what the gate said:

{trainings}

And of a model of {short} alone, in place of the first one: {refused}.

What the triggered policy's checks have found at the ends of the months, with the weather of each season:

{found}
"""


class Training(NamedTuple):
    """A training, and what became of it."""

    month: str
    why: str
    merged: bool
    verdict: str


class Live(NamedTuple):
    """What became of the predictions of a month.

    Attributes:
        auc: ROC AUC of all of them.
        without_a_day: ROC AUC without each of the days, of shape (days,).
    """

    auc: float
    without_a_day: NDArray[np.float64]


@dataclass
class Policy:
    """A way to retrain, and what came of it.

    Attributes:
        name: In the report.
        asks: Whether to retrain at the end of a month, and why; empty where not.
        live: By month, what became of the predictions.
        trainings: At the ends of months.
        found: What checks have found, in words.
    """

    name: str
    asks: Callable[["Policy", Repository, str, datetime], str]
    live: dict[str, "Live"] = field(default_factory=dict)
    trainings: list[Training] = field(default_factory=list)
    found: list[str] = field(default_factory=list)

    @property
    def auc(self) -> dict[str, float]:
        """The ROC AUC by month."""
        return {month: found.auc for month, found in self.live.items()}

    @property
    def mean(self) -> float:
        """The mean of the months' ROC AUC."""
        return float(np.mean(list(self.auc.values())))

    def means_without_a_day(self) -> NDArray[np.float64]:
        """That mean without each of the days, of shape (days,)."""
        months = len(self.live)
        return np.concatenate([self.mean + (found.without_a_day - found.auc) / months for found in self.live.values()])


def gain(policy: Policy, other: Policy) -> str:
    """A line of the table: what a policy gains over another one, and whether that is more than chance."""
    without = policy.means_without_a_day() - other.means_without_a_day()
    found = jackknife(policy.mean - other.mean, without, _CONFIDENCE)
    said = "better" if found.low > 0 else "worse" if found.high < 0 else "no difference beyond chance"
    return f"| {policy.name} over {other.name} | {found.value:+.4f} | {found.low:+.4f} to {found.high:+.4f} | {said} |"


def never(*_: object) -> str:
    return ""


def monthly(*_: object) -> str:
    return "a month has passed"


def triggered(policy: Policy, repository: Repository, log: str, until: datetime) -> str:
    """As monitor.yml decides."""
    with in_process.inside(repository):
        params = load_params()
        version, reference = watched(None, params)
        with open_log(log, until - pd.Timedelta(days=params.monitoring.days), until) as read:
            found = check(read, version, reference, params)
        last = month_after(policy.trainings[-1].month) if policy.trainings else None
        for finding in found.findings:
            said = f"{finding.kind}: {finding.subject} {finding.evidence}"
            policy.found.append(f"- {until - pd.Timedelta(days=1):%Y-%m}, {finding.level.name.lower()}: {said}")
        known = reference.known_until
        return due(as_json(found, known, outcomes_since(log, known)), last, params.retraining)


def month_after(month: str) -> datetime:
    """The first moment after a month."""
    return (pd.Timestamp(month, tz=UTC) + pd.offsets.MonthBegin()).to_pydatetime()


def begin(folder: Path) -> Repository:
    """A repository with the first model in production."""
    repository = copied_project(folder / "main")
    repository.must("dvc", "pull", "--quiet", "data.dvc")
    for path in (repository.folder / "data").glob("*.parquet"):
        if path.stem > HOLDOUT:
            path.unlink()
    repository.must("dvc", "add", "--quiet", "data")
    change_params(
        repository,
        window={"first": WINDOW[0], "last": WINDOW[1]},
        holdout={"first": HOLDOUT, "last": HOLDOUT},
    )
    repository.must("python", "-m", "lifecycle.pipeline", "--untracked")
    repository.commit("The first model")
    repository.must("git", "init", "--quiet", "--bare", str(folder / "origin.git"))
    repository.must("git", "remote", "add", "origin", str(folder / "origin.git"))
    release(repository, "the first")
    return repository


def release(repository: Repository, why: str) -> None:
    """What is committed goes into production."""
    number = register(repository).split()[1]
    promote(repository, f"{number} simulation {why}")


def replay(repository: Repository, month: str, rows: pd.DataFrame, folder: Path) -> Live:
    """Ask the service of the champion for each flight of a month, hour by hour, and see what became of its answers."""
    with in_process.inside(repository):
        version, _ = watched(None, load_params())
    log = folder / "log.db"
    hours = rows["scheduled_departure"].dt.floor("h")
    inputs = [column.name for column in contract.INPUTS]
    waiting: list[tuple[pd.Timestamp, list[dict[str, Any]]]] = []
    settings = {"MODEL_VERSION": version, "PREDICTION_LOG_URL": f"sqlite:///{log}"}
    with (
        running(repository.folder, folder / f"state-{month}", **settings) as service,
        httpx.Client(base_url=service.url, timeout=30) as client,
    ):
        for hour, now in tqdm(rows.groupby(hours), month, leave=False):
            asked = json.loads(now[inputs].to_json(orient="records", date_format="iso", date_unit="s"))
            for row in asked:
                row["scheduled_departure"] = row["scheduled_departure"][:19]
            stamp = {"X-Request-ID": str(int(hour.timestamp()))}
            answer = client.post("/predict", json=asked, headers=stamp).raise_for_status().json()["predictions"]
            told = zip(answer, now[contract.TARGET], strict=True)
            waiting.append((hour, [{"prediction_id": one["id"], "outcome": bool(late)} for one, late in told]))
            while waiting and waiting[0][0] <= hour - pd.Timedelta(days=1):
                client.post("/feedback", json=waiting.pop(0)[1]).raise_for_status()
        for _, outcomes in waiting:
            client.post("/feedback", json=outcomes).raise_for_status()
        if service.stop():
            raise SystemExit(service.output.read_text(encoding="utf-8"))
    with closing(sqlite3.connect(log)) as connection, connection:
        connection.execute("UPDATE predictions SET time = CAST(request_id AS REAL) WHERE time > ?", (_TODAY,))
        connection.execute(
            "UPDATE feedback SET time = ? + (SELECT time FROM predictions WHERE id = prediction_id) WHERE time > ?",
            (DAY, _TODAY),
        )
        begins, ends = pd.Timestamp(month, tz=UTC).timestamp(), month_after(month).timestamp()
        known = connection.execute(
            "SELECT outcome, probability, predictions.time FROM predictions JOIN feedback ON id = prediction_id "
            "WHERE predictions.time >= ? AND predictions.time < ?",
            (begins, ends),
        ).fetchall()
    outcome, probability, moment = map(np.array, zip(*known, strict=True))
    scores = Scores(outcome.astype(np.bool_), probability, bins=1)
    place = [*METRICS].index("roc_auc")
    whole = scores.metrics(np.ones((1, len(known)), dtype=np.uint8))[0, place]
    return Live(float(whole), leave_out_each(scores.metrics, (moment // DAY).astype(np.intp))[:, place])


def retrain(repository: Repository, month: str, why: str) -> Training:
    """Propose a model of the months up to this one, and merge it where it passes."""
    with in_process.inside(repository):
        renew(load_params(), month_after(month))
    merged, verdict = propose(repository, f"Retrain on data up to {month}")
    if merged:
        release(repository, why)
    else:
        repository.must("git", "reset", "--quiet", "--hard", "HEAD~1")
        repository.must("dvc", "checkout", "--quiet", "--force", "dvc.yaml", "data.dvc")
    return Training(month, why, merged, verdict)


def propose(repository: Repository, message: str) -> tuple[bool, str]:
    """Train and compare as a pull request does: whether it may be merged, and the verdict."""
    repository.must("python", "-m", "lifecycle.pipeline", "--untracked")
    repository.commit(message)
    judged = repository.run("python", "-m", "lifecycle.proposal", "--base", "HEAD~1")
    report = (repository.folder / "artifacts/proposal/report.md").read_text(encoding="utf-8")
    return judged.returncode == 0, report.partition("\n")[0].lstrip("# ")


def judge_short(first: Repository, folder: Path) -> tuple[bool, str]:
    """Propose a model of the first month alone, on the holdout of the first."""
    shutil.copytree(first.folder, folder, symlinks=True)
    repository = Repository(folder)
    change_params(repository, window={"first": WINDOW[0], "last": WINDOW[0]})
    return propose(repository, "Only the first month")


def simulate(policy: Policy, first: Repository, months: dict[str, pd.DataFrame], folder: Path) -> None:
    """Live through the months under a policy."""
    shutil.copytree(first.folder.parent, folder, symlinks=True)
    repository = Repository(folder / "main")
    repository.must("git", "remote", "set-url", "origin", str(folder / "origin.git"))
    log = f"sqlite:///{folder / 'log.db'}"
    for month in tqdm(LIVE, policy.name):
        policy.live[month] = replay(repository, month, months[month], folder)
        why = policy.asks(policy, repository, log, month_after(month)) if month != LIVE[-1] else ""
        if why:
            policy.trainings.append(retrain(repository, month, why))
        tqdm.write(f"{policy.name} {month}: ROC AUC {policy.auc[month]:.4f}{f', retrained: {why}' if why else ''}")


def draw(policies: list[Policy]) -> str:
    """The picture: live ROC AUC by month, and under it when each policy trained, filled where that was merged."""
    names = [policy.name for policy in policies]
    legend = [f"{policy.name}: {len(policy.trainings)} trainings, mean {policy.mean:.3f}" for policy in policies]
    middle = {month: f"{month}-15" for month in LIVE}
    scores = [
        {"time": middle[month], "policy": said, "auc": auc}
        for policy, said in zip(policies, legend, strict=True)
        for month, auc in policy.auc.items()
    ]
    trainings = [
        {"time": f"{month_after(training.month):%Y-%m-%d}", "policy": policy.name, "merged": training.merged}
        for policy in policies
        for training in policy.trainings
    ]
    time = {
        "field": "time",
        "type": "temporal",
        "scale": {"domain": [f"{LIVE[0]}-01", f"{month_after(LIVE[-1]):%Y-%m-%d}"]},
        "axis": {"values": [*middle.values()], "format": "%Y-%m", "grid": False, "title": None},
    }
    colours = ["#888888", "#88bbee", "#cc3355"]
    widths = {"type": "ordinal", "domain": legend, "range": [1.5, 6, 1.5]}  # two lines are the same for months
    above = {
        "width": 640,
        "height": 280,
        "data": {"values": scores},
        "mark": "line",
        "encoding": {
            "x": time,
            "y": {"field": "auc", "type": "quantitative", "title": "ROC AUC, live", "scale": {"zero": False}},
            "color": {
                "field": "policy",
                "scale": {"domain": legend, "range": colours},
                "legend": {"orient": "top", "title": None, "symbolType": "stroke", "labelLimit": 0},
            },
            "strokeWidth": {"field": "policy", "scale": widths, "legend": None},
        },
    }
    dots = [
        {
            "transform": [{"filter": {"field": "merged", "equal": merged}}],
            "mark": {"type": "point", "filled": merged, "size": 60, "opacity": 1},
            "encoding": {
                "x": time,
                "y": {"field": "policy", "type": "nominal", "title": None, "scale": {"domain": names}},
                "color": {"field": "policy", "scale": {"domain": names, "range": colours}, "legend": None},
            },
        }
        for merged in (True, False)
    ]
    below = {
        "width": 640,
        "height": 60,
        "title": {"text": "trainings: filled where merged, hollow where the gate refused", "anchor": "start"},
        "data": {"values": trainings},
        "layer": dots,
    }
    return to_svg({"padding": 10, "vconcat": [above, below], "resolve": {"scale": {"color": "independent"}}})


def main() -> None:
    """Simulate, and write the report."""
    policies = [Policy("never", never), Policy("monthly", monthly), Policy("triggered", triggered)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        months = {}
        for month in tqdm(LIVE, "months"):
            ingest(month, folder / "data")
            months[month] = pd.read_parquet(month_path(month, folder / "data"))
        (folder / "first").mkdir()
        first = begin(folder / "first")
        passed, refused = judge_short(first, folder / "short")
        if passed:
            raise SystemExit(f"a model of {WINDOW[0]} alone passes the gate: {refused}")
        for policy in policies:
            simulate(policy, first, months, folder / policy.name)
    write_text(PICTURE, draw(policies))
    none, each, some = policies
    lines = [
        f"| {policy.name} | {' | '.join(f'{policy.auc[month]:.3f}' for month in LIVE)} | "
        f"{policy.mean:.4f} | {len(policy.trainings)} |"
        for policy in policies
    ]
    trainings = [
        f"- {policy.name}, after {one.month}: {one.why}. {one.verdict}."
        for policy in policies
        for one in policy.trainings
    ]
    text = TEMPLATE.format(
        window=f"{WINDOW[0]} to {WINDOW[1]}",
        holdout=HOLDOUT,
        live=f"{LIVE[0]} to {LIVE[-1]}",
        months=" | ".join(LIVE),
        rule=" | ".join(["---:"] * len(LIVE)),
        lines="\n".join(lines),
        gains="\n".join([_GAINS, gain(each, none), gain(some, none), gain(some, each)]),
        share=len(policies[2].trainings) / len(policies[1].trainings),
        trainings="\n".join(trainings),
        short=WINDOW[0],
        refused=refused,
        found="\n".join(policies[2].found) or "nothing",
    )
    REPORT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
