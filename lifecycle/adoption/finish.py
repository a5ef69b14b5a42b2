"""`python -m lifecycle.adoption.finish`: the part of an adoption that needs the new contract.

It adds all rows of the source to the data, trains the first model, chooses the gates, and prints what is left to do.
"""

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq

from lifecycle.adoption.gates import choose_gates
from lifecycle.adoption.project_files import record_written
from lifecycle.pipeline import stage
from lifecycle.pipeline.ingest import NoRowsError, ingest, next_part
from lifecycle.pipeline.summary import summary
from lifecycle.proposal.leaks import known_only_later, predicts_alone
from lifecycle.shared import console
from lifecycle.shared.commands import run
from lifecycle.shared.console import CommandError, UserError
from lifecycle.shared.files import write_text
from lifecycle.shared.params import PARAMS, Params, load_params
from lifecycle.shared.parts import part_exists, read_part
from lifecycle.shared.tables import to_columns, to_target
from model import contract

TO_DO = Path("artifacts/adoption-to-do.json")


def main() -> None:
    """Finish an adoption."""
    params = load_params()
    print("adding the rows to the data …", flush=True)
    _ingest(params)
    run(["dvc", "add", "--quiet", "data"])
    run(["dvc", "push", "--quiet", "data.dvc"])
    print("training the first model …", flush=True)
    _train()
    write_text(PARAMS, choose_gates(PARAMS.read_text(encoding="utf-8")))
    record_written()
    for warning in _suspected_leaks(params):
        print(f"warning: {warning}")
    print(f"\n{summary(load_params(), None).partition(chr(10) + 'Next:')[0]}")
    print("\nLeft to you:")
    for sentence in json.loads(TO_DO.read_text(encoding="utf-8")):
        print(f"  - {sentence}")
    print("  - `make check`, `make serve`, then `git add --all` and `git commit`.")


def _ingest(params: Params) -> None:
    if params.split.by != "time":
        ingest(next_part(params.split), params.split)
        return
    parts = [*params.window.parts(), *params.holdout.parts()]
    for attempt in range(2):  # a gap is one only after the period that follows it exists
        for part in parts:
            if not part_exists(part):
                try:
                    ingest(part, params.split)
                except NoRowsError:
                    if attempt:
                        raise


def _train() -> None:
    try:
        run([sys.executable, "-m", "lifecycle.pipeline", "--untracked"])
    except CommandError as error:
        raise UserError(f"the first model cannot be trained:\n{error}\nCorrect the cause and run `make`.") from error


def _suspected_leaks(params: Params) -> list[str]:
    train, holdout = read_part(params.window.parts()[-1]), pq.read_table(stage.PREPARED / "holdout.parquet")
    if not train.num_rows:
        return []
    columns = to_columns(holdout)
    leaks = predicts_alone(to_columns(train), to_target(train), columns, to_target(holdout))
    return leaks + (known_only_later(columns, contract.TIME) if contract.TIME else [])


if __name__ == "__main__":
    console.run_main(main)
