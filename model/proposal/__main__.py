"""`make propose`: bring the pipeline up to date, compare with the champion, judge, write the report."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from model import console, contract
from model.console import UserError
from model.files import replacing_file
from model.months import DATA, to_columns, to_target
from model.params import PARAMS, Params, load_params
from model.pipeline import curves, stage
from model.pipeline.evaluate import slice_rows
from model.pipeline.floors import floors
from model.pipeline.track import LOCK
from model.predictor import Predictor
from model.proposal import changes, gate
from model.proposal.champion import REQUIREMENTS, Champion, NoChampionError, check_out, find, resolve, run
from model.proposal.compare import compare
from model.proposal.holdout import unseen, window_files
from model.proposal.proposal import Built, Comparison, Proposal, Reproduced
from model.proposal.report import evenly, failure, render

OUTPUT = Path("artifacts/proposal")
REPORT = OUTPUT / "report.md"
_LOG = OUTPUT / "log.txt"
_HOLDOUT = stage.PREPARED / "holdout.parquet"
_BATCH = 2**16  # rows
_LATENCY = Path(__file__).parent / "latency.py"


def main() -> None:
    """Write the report; exit status 1 where the gate is not passed."""
    parser = argparse.ArgumentParser(prog="python -m model.proposal", description=__doc__)
    parser.add_argument("--base", default="", help="commit that the proposal is made against; default: main")
    parser.add_argument("--accepted-by", default="", help="who accepts a regression")
    arguments = parser.parse_args()
    base = resolve(arguments.base or _main_branch())

    OUTPUT.mkdir(parents=True, exist_ok=True)
    if _reproduce():
        _write(failure(contract.NAME, _LOG.read_text(encoding="utf-8", errors="replace")))
        raise UserError(f"the model could not be made, see above. The report is in {REPORT}.")
    proposal = propose(load_params(), base, arguments.accepted_by)
    text = render(proposal)
    _write(text)
    print(f"\n{text.partition(chr(10))[0].lstrip('# ')}\nThe report is in {REPORT}.")
    sys.exit(0 if proposal.passed else 1)


def propose(params: Params, base: str, accepted_by: str) -> Proposal:
    """Compare the finished pipeline's model with the champion, and judge it.

    Args:
        params: Of the candidate.
        base: Commit that has the champion if no registry does.
        accepted_by: Who accepts a regression; empty if nobody does.
    """
    reported = json.loads((stage.REPORTS / "metrics.json").read_text(encoding="utf-8"))
    candidate = _built(stage.MODEL, stage.seconds_taken("train"), _latency(None))
    checks = [check for found in floors(params.gates, reported).values() for check in found]
    checks += gate.budgets(params.gates, candidate)
    commit, known_as = find(base)
    about: dict[str, Any] = {
        "name": contract.NAME,
        "commit": commit,
        "known_as": known_as,
        "reported": reported,
        "holdout": (params.holdout.first, params.holdout.last),
        "slice_rows": params.gates.slice_rows,
        "candidate": candidate,
        "reproduced": _reproduced(),
        "accepted_by": accepted_by,
    }
    if _model_hash(_show(commit, LOCK)) == _model_hash(LOCK.read_text(encoding="utf-8")):
        return Proposal(**about, checks=checks, unchanged=True)
    try:
        champion = check_out(commit, known_as)
    except NoChampionError as error:
        return Proposal(**about | {"commit": None, "known_as": str(error)}, checks=checks)
    about["champion"] = _built(champion.model, None, _latency(champion))
    about["changes"] = _changes(champion, params)
    try:
        comparison = _compare(champion, params)
    except NoChampionError as error:
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
    theirs = _champion_probabilities(champion, table)
    ours = _candidate_probabilities(table)
    target = to_target(table)
    both = {"champion": theirs, "candidate": ours}
    return Comparison(
        compare(target, theirs, ours, slice_rows(table.select(list(params.slices))), params),
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


def _candidate_probabilities(table: pa.Table) -> NDArray[np.float32]:
    predictor = Predictor.load(stage.MODEL)
    batches = table.to_batches(max_chunksize=_BATCH)
    return np.concatenate([predictor.probabilities(to_columns(pa.Table.from_batches([b]))) for b in batches])


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
        return float(run([sys.executable, str(_LATENCY), str(rows)], Path(), PYTHONPATH=str(Path.cwd())))
    except NoChampionError:
        return None


def _reproduce() -> int:
    """Bring the pipeline up to date, shown and kept in the log; its exit status."""
    with (
        _LOG.open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "model.pipeline"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
    ):
        for line in process.stdout or ():
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
            log.write(line)
    return process.returncode


def _reproduced() -> Reproduced:
    committed, made = _show("HEAD", LOCK), LOCK.read_text(encoding="utf-8")
    if not committed:
        return "no lock committed"
    if _outputs(committed) == _outputs(made):
        return "bit for bit"
    metrics = stage.REPORTS / "metrics.json"
    return "in metrics only" if _show("HEAD", metrics) == metrics.read_text(encoding="utf-8") else "not"


def _outputs(lock: str) -> dict[str, str]:
    stages: dict[str, Any] = yaml.safe_load(lock)["stages"]
    return {out["path"]: out["md5"] for one in stages.values() for out in one["outs"]}


def _model_hash(lock: str) -> str | None:
    return _outputs(lock).get(str(stage.MODEL)) if lock else None


def _show(commit: str, path: Path) -> str:
    """A file as it is in a commit; empty where it is not."""
    try:
        return run(["git", "show", f"{commit}:{path}"], Path())
    except NoChampionError:
        return ""


def _main_branch() -> str:
    """The commit at which this work has left main."""
    for name in ("origin/main", "main"):
        try:
            return run(["git", "merge-base", "HEAD", name], Path()).strip()
        except NoChampionError:
            continue
    raise UserError("there is no branch main to propose to. Name a commit: make propose BASE=…")


def _write(text: str) -> None:
    with replacing_file(REPORT) as aside:
        aside.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    console.run(main)
