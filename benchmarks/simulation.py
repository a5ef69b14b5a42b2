"""Replay the months after a model's window against the running service, under three retraining policies.

Hour by hour the service gets a request with the flights of that hour, and each outcome a day later. At the end of a
month a policy may retrain: new months are ingested, a model is trained and compared, and merged if it passes the gate.
After each month, the service's timestamps are replaced by the simulated hours; nothing else is changed.
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
from lifecycle.shared.chosen_task import METRICS
from lifecycle.shared.files import write_text
from lifecycle.shared.intervals import jackknife, leave_out_each
from lifecycle.shared.params import load_params
from lifecycle.shared.parts import part_files, part_range
from lifecycle.shared.tasks.binary_scores import BinaryScores
from lifecycle.shared.vega import to_svg
from model import contract
from tests.lifecycle import in_process
from tests.lifecycle.registry.commands import promote, register
from tests.lifecycle.repository import ROOT, Repository, change_params, copied_project
from tests.lifecycle.serving.conftest import running

REPORT, PICTURE = ROOT / "benchmarks/simulation.md", ROOT / "benchmarks/simulation.svg"
WINDOW, HOLDOUT = ("2013-01", "2013-03"), "2013-04"
LIVE = part_range("2013-05", "2013-12")
DAY = 86_400
_CONFIDENCE = 0.95
_GAINS = "| | gain | interval | |\n| --- | ---: | ---: | --- |"
# Unix time between the simulated hours and the service's own timestamps.
_TODAY = 1.6e9

TEMPLATE = """\
# Retraining, simulated

Written by `make -C benchmarks simulation`: a model of {window}, evaluated on {holdout}, predicts the flights of {live}.
There are three policies, each with its own clone, registry, service and prediction log.

![ROC AUC by month of three policies](simulation.svg)

| | {months} | mean | trainings |
| --- | {rule} | ---: | ---: |
{lines}

Gain in mean ROC AUC of one policy over another, with 95% intervals by day:

{gains}

The triggered policy follows `retraining` in params.yaml; it trains {share:.0%} as often as the monthly one. The gates
are those of params.yaml. Each training with its reason and the verdict of the gate:

{trainings}

The verdict on a model of {short} alone, as a replacement of the first one: {refused}.

Findings of the triggered policy's checks at the ends of the months:

{findings}
"""


class Training(NamedTuple):
    """A training and the verdict on its model."""

    month: str
    why: str
    merged: bool
    verdict: str


class Live(NamedTuple):
    """Live performance in a month.

    Attributes:
        auc: ROC AUC of all predictions.
        without_a_day: ROC AUC with each of the days left out, of shape (days,).
    """

    auc: float
    without_a_day: NDArray[np.float64]


@dataclass
class Policy:
    """A retraining policy and its results.

    Attributes:
        name: Name in the report.
        decide: Function that returns the reason to retrain at the end of a month; empty if there is none.
        live: Live performance by month.
        trainings: Trainings at the ends of months.
        findings: Findings of the checks, as lines of a list.
    """

    name: str
    decide: Callable[["Policy", Repository, str, datetime], str]
    live: dict[str, "Live"] = field(default_factory=dict)
    trainings: list[Training] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    @property
    def auc(self) -> dict[str, float]:
        """The ROC AUC by month."""
        return {month: performance.auc for month, performance in self.live.items()}

    @property
    def mean(self) -> float:
        """The mean of the months' ROC AUC."""
        return float(np.mean(list(self.auc.values())))

    def means_without_a_day(self) -> NDArray[np.float64]:
        """Return the mean ROC AUC with each of the days left out, of shape (days,)."""
        months = len(self.live)
        return np.concatenate([self.mean + (live.without_a_day - live.auc) / months for live in self.live.values()])


def gain(policy: Policy, other: Policy) -> str:
    """Return a table line with the gain of a policy over another, and whether it is more than chance."""
    without = policy.means_without_a_day() - other.means_without_a_day()
    value, low, high = jackknife(policy.mean - other.mean, without, _CONFIDENCE)
    verdict = "better" if low > 0 else "worse" if high < 0 else "no difference beyond chance"
    return f"| {policy.name} over {other.name} | {value:+.4f} | {low:+.4f} to {high:+.4f} | {verdict} |"


def never(*_: object) -> str:
    return ""


def monthly(*_: object) -> str:
    return "a month has passed"


def triggered(policy: Policy, repository: Repository, log: str, until: datetime) -> str:
    """Decide as monitor.yml does."""
    with in_process.inside(repository):
        params = load_params()
        version, reference = watched(None, params)
        with open_log(log, until - pd.Timedelta(days=params.monitoring.days), until) as read:
            result = check(read, version, reference, params)
        last = month_after(policy.trainings[-1].month) if policy.trainings else None
        for finding in result.findings:
            text = f"{finding.kind}: {finding.subject} {finding.evidence}"
            policy.findings.append(f"- {until - pd.Timedelta(days=1):%Y-%m}, {finding.level.name.lower()}: {text}")
        known_until = reference.known_until
        return due(as_json(result, known_until, outcomes_since(log, known_until)), last, params.retraining)


def month_after(month: str) -> datetime:
    """Return the start of the month after a month."""
    return (pd.Timestamp(month, tz=UTC) + pd.offsets.MonthBegin()).to_pydatetime()


def begin(folder: Path) -> Repository:
    """Make a repository with the first model in production."""
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
    """Register the committed model and make it the champion."""
    number = register(repository).split()[1]
    promote(repository, f"{number} simulation {why}")


def replay(repository: Repository, month: str, rows: pd.DataFrame, folder: Path) -> Live:
    """Send the flights of a month to the champion's service, hour by hour, and measure its live performance."""
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
        for hour, flights in tqdm(rows.groupby(hours), month, leave=False):
            request = json.loads(flights[inputs].to_json(orient="records", date_format="iso", date_unit="s"))
            for row in request:
                row["scheduled_departure"] = row["scheduled_departure"][:19]
            stamp = {"X-Request-ID": str(int(hour.timestamp()))}
            response = client.post("/predict", json=request, headers=stamp).raise_for_status()
            pairs = zip(response.json()["predictions"], flights[contract.TARGET.name], strict=True)
            outcomes = [{"prediction_id": prediction["id"], "outcome": bool(late)} for prediction, late in pairs]
            waiting.append((hour, outcomes))
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
        labelled = connection.execute(
            "SELECT outcome, probability, predictions.time FROM predictions JOIN feedback ON id = prediction_id "
            "WHERE predictions.time >= ? AND predictions.time < ?",
            (begins, ends),
        ).fetchall()
    outcome, probability, time = map(np.array, zip(*labelled, strict=True))
    scores = BinaryScores(outcome.astype(np.bool_), probability, bins=1, threshold=0.5)
    place = [*METRICS].index("roc_auc")
    auc = scores.metrics(np.ones((1, len(labelled)), dtype=np.uint8))[0, place]
    return Live(float(auc), leave_out_each(scores.metrics, (time // DAY).astype(np.intp))[:, place])


def retrain(repository: Repository, month: str, why: str) -> Training:
    """Propose a model of the months up to this one, and merge it if it passes."""
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
    """Train and compare as for a pull request; return whether the gate passes, and the verdict."""
    repository.must("python", "-m", "lifecycle.pipeline", "--untracked")
    repository.commit(message)
    proposal = repository.run("python", "-m", "lifecycle.proposal", "--base", "HEAD~1")
    report = (repository.folder / "artifacts/proposal/report.md").read_text(encoding="utf-8")
    return proposal.returncode == 0, report.partition("\n")[0].lstrip("# ")


def judge_short(first: Repository, folder: Path) -> tuple[bool, str]:
    """Propose a model of the first month alone, with the holdout of the first model."""
    shutil.copytree(first.folder, folder, symlinks=True)
    repository = Repository(folder)
    change_params(repository, window={"first": WINDOW[0], "last": WINDOW[0]})
    return propose(repository, "Only the first month")


def simulate(policy: Policy, first: Repository, months: dict[str, pd.DataFrame], folder: Path) -> None:
    """Replay the months under a policy."""
    shutil.copytree(first.folder.parent, folder, symlinks=True)
    repository = Repository(folder / "main")
    repository.must("git", "remote", "set-url", "origin", str(folder / "origin.git"))
    log = f"sqlite:///{folder / 'log.db'}"
    for month in tqdm(LIVE, policy.name):
        policy.live[month] = replay(repository, month, months[month], folder)
        why = policy.decide(policy, repository, log, month_after(month)) if month != LIVE[-1] else ""
        if why:
            policy.trainings.append(retrain(repository, month, why))
        tqdm.write(f"{policy.name} {month}: ROC AUC {policy.auc[month]:.4f}{f', retrained: {why}' if why else ''}")


def draw(policies: list[Policy]) -> str:
    """Draw the live ROC AUC by month, and below it the trainings of each policy, filled if they were merged."""
    names = [policy.name for policy in policies]
    legend = [f"{policy.name}: {len(policy.trainings)} trainings, mean {policy.mean:.3f}" for policy in policies]
    middle = {month: f"{month}-15" for month in LIVE}
    scores = [
        {"time": middle[month], "policy": label, "auc": auc}
        for policy, label in zip(policies, legend, strict=True)
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
    widths = {"type": "ordinal", "domain": legend, "range": [1.5, 6, 1.5]}  # two lines coincide for some months
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
        "title": {"text": "trainings: filled if merged, hollow if the gate failed", "anchor": "start"},
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
            ingest(month, load_params().split, folder / "data")
            months[month] = pd.read_parquet(part_files(month, folder / "data")[0])
        (folder / "first").mkdir()
        first = begin(folder / "first")
        passed, refused = judge_short(first, folder / "short")
        if passed:
            raise SystemExit(f"a model of {WINDOW[0]} alone passes the gate: {refused}")
        for policy in policies:
            simulate(policy, first, months, folder / policy.name)
    write_text(PICTURE, draw(policies))
    no_policy, monthly_policy, triggered_policy = policies
    lines = [
        f"| {policy.name} | {' | '.join(f'{policy.auc[month]:.3f}' for month in LIVE)} | "
        f"{policy.mean:.4f} | {len(policy.trainings)} |"
        for policy in policies
    ]
    trainings = [
        f"- {policy.name}, after {training.month}: {training.why}. {training.verdict}."
        for policy in policies
        for training in policy.trainings
    ]
    text = TEMPLATE.format(
        window=f"{WINDOW[0]} to {WINDOW[1]}",
        holdout=HOLDOUT,
        live=f"{LIVE[0]} to {LIVE[-1]}",
        months=" | ".join(LIVE),
        rule=" | ".join(["---:"] * len(LIVE)),
        lines="\n".join(lines),
        gains="\n".join(
            [
                _GAINS,
                gain(monthly_policy, no_policy),
                gain(triggered_policy, no_policy),
                gain(triggered_policy, monthly_policy),
            ]
        ),
        share=len(triggered_policy.trainings) / len(monthly_policy.trainings),
        trainings="\n".join(trainings),
        short=WINDOW[0],
        refused=refused,
        findings="\n".join(triggered_policy.findings) or "none",
    )
    REPORT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
