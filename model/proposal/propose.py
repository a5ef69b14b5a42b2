"""From a finished pipeline to a proposal: find the champion, compare, judge."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from model.commands import CommandError, git, git_show, run
from model.months import DATA
from model.params import PARAMS, Params
from model.pipeline import curves, stage
from model.pipeline.evaluate import score
from model.pipeline.floors import Check, floors
from model.pipeline.track import LOCK
from model.predictor import Predictor, model_hash
from model.proposal import OUTPUT, changes, gate
from model.proposal.champion import REQUIREMENTS, Champion, NoChampionError, check_out, find
from model.proposal.compare import compare
from model.proposal.holdout import unseen, window_files
from model.proposal.proposal import Built, Comparison, Proposal, Reproduced
from model.proposal.report import evenly

_HOLDOUT = stage.PREPARED / "holdout.parquet"
_LATENCY = Path(__file__).parent / "latency.py"


def propose(params: Params, base: str, accepter: str) -> Proposal:
    """Compare the finished pipeline's model with the champion, and judge it.

    Args:
        params: Of the candidate.
        base: Commit that has the champion if no registry does.
        accepter: Who accepts a regression; empty if nobody does.
    """
    reported = json.loads((stage.REPORTS / "metrics.json").read_text(encoding="utf-8"))
    candidate = _built(stage.MODEL, stage.seconds_taken("train"), _latency(None))
    checks = [check for found in floors(params.gates, reported).values() for check in found]
    checks += gate.budgets(params.gates, candidate)
    commit, known_as = find(base)
    about: dict[str, Any] = {
        "commit": commit,
        "known_as": known_as,
        "reported": reported,
        "params": params,
        "candidate": candidate,
        "reproduced": _reproduced(),
        "accepted_by": accepter,
    }
    if _made_of_the_same(commit):
        return Proposal(**about, checks=checks, unchanged=True)
    try:
        champion = check_out(commit, known_as)
    except NoChampionError as error:
        return Proposal(**about | {"commit": None, "known_as": str(error)}, checks=checks)
    except CommandError as error:
        # That is no reason to let anything pass.
        checks.append(Check("Comparable with the model in production", "it cannot be brought up", passed=False))
        return Proposal(**about, checks=checks, obstacle=str(error))
    about["known_as"] = champion.known_as
    about["champion"] = _built(champion.model, stage.seconds_taken("train", champion.folder), _latency(champion))
    about["changes"] = _changes(champion, params)
    if model_hash(champion.model) == model_hash(stage.MODEL):
        return Proposal(**about, checks=checks, unchanged=True)
    try:
        comparison = _compare(champion, params)
    except (NoChampionError, CommandError) as error:
        return Proposal(**about, checks=checks, obstacle=str(error))
    checks += gate.against_champion(params.gates, comparison.parts)
    return Proposal(**about, checks=checks, comparison=comparison)


def _compare(champion: Champion, params: Params) -> Comparison:
    window = champion.metadata()["window"]
    rows = unseen(
        _HOLDOUT,
        window_files(DATA, params.window.first, params.window.last),
        window_files(champion.folder / DATA, window["first"], window["last"]),
    )
    if not len(rows.rows):
        raise NoChampionError("every row of the holdout was trained on by one of the two; move the holdout on")
    table = pq.read_table(_HOLDOUT).take(pa.array(rows.rows))
    pq.write_table(table, OUTPUT / "unseen.parquet")
    theirs = _champion_probabilities(champion, table)
    del table
    target, ours, slices = score(Predictor.load(stage.MODEL), OUTPUT / "unseen.parquet", params.slices)
    both = {"champion": theirs, "candidate": ours}
    return Comparison(
        compare(target, theirs, ours, slices, params),
        rows.excluded_champion,
        rows.excluded_candidate,
        roc=evenly({who: curves.roc(target, found) for who, found in both.items()}),
        calibration=evenly(
            {who: curves.calibration(target, found, params.metrics.calibration_bins)[:2] for who, found in both.items()}
        ),
    )


def _champion_probabilities(champion: Champion, table: pa.Table) -> NDArray[np.float32]:
    wanted = champion.inputs()
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise NoChampionError(f"it needs columns that these rows do not have: {', '.join(missing)}")
    rows, scored = (OUTPUT / name for name in ("rows.parquet", "scored.parquet"))
    pq.write_table(table.select(wanted), rows)
    champion.run("-m", "model.predict", rows.resolve(), scored.resolve())
    found: NDArray[np.float32] = pq.read_table(scored, columns=["probability"]).column(0).to_numpy()
    return found


def _changes(champion: Champion, params: Params) -> changes.Changes:
    metadata = champion.metadata()
    theirs, ours = champion.folder, Path()
    return changes.Changes(
        changes.changed_params(*((folder / PARAMS).read_text(encoding="utf-8") for folder in (theirs, ours))),
        changes.changed_months(theirs / DATA, metadata["window"], DATA, params),
        changes.drift(metadata),
        changes.changed_files(champion.commit),
        changes.changed_packages(
            *((folder / REQUIREMENTS).read_text(encoding="utf-8") for folder in (theirs, ours)),
        ),
    )


def _built(model: Path, seconds: float | None, latency: float | None) -> Built:
    return Built(seconds, sum(file.stat().st_size for file in model.iterdir()), latency)


def _latency(champion: Champion | None) -> float | None:
    """Of the champion, or of the candidate; None where its commit cannot tell."""
    rows = _HOLDOUT.resolve()
    try:
        if champion:
            return float(champion.run(_LATENCY.resolve(), rows))
        return float(run([sys.executable, _LATENCY, rows], PYTHONPATH=str(Path.cwd())))
    except CommandError:
        return None


def _reproduced() -> Reproduced:
    committed, made = git_show("HEAD", LOCK), LOCK.read_text(encoding="utf-8")
    if not committed:
        return "no lock committed"
    if _outputs(committed) == _outputs(made):
        return "bit for bit"
    metrics = stage.REPORTS / "metrics.json"
    return "in metrics only" if git_show("HEAD", metrics) == metrics.read_text(encoding="utf-8") else "not"


def _outputs(lock: str) -> dict[str, str]:
    stages: dict[str, Any] = yaml.safe_load(lock)["stages"]
    return {out["path"]: out["md5"] for one in stages.values() for out in one["outs"]}


def _made_of_the_same(commit: str) -> bool:
    """Whether a commit has a model, and one that is made of the same as this one: then it is the same, bit for bit.

    What its lock says does not count: who edits params.yaml on the web leaves the lock as it was.
    """
    stages: dict[str, Any] = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    files = {
        "dvc.yaml",
        "data.dvc",
        str(PARAMS),
        *(path for name in ("prepare", "train") for path in stages[name]["deps"]),
    }
    return bool(git_show(commit, LOCK)) and not git("diff", "--name-only", commit, "--", *sorted(files))
