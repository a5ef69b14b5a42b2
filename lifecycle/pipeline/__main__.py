"""What `make` does: fetch the data, bring the pipeline up to date, track it, and say what came out.

`python -m lifecycle.pipeline --untracked` leaves MLflow out: what is proposed need not become a run.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from lifecycle.shared import console
from lifecycle.shared.console import UserError
from lifecycle.shared.files import require_space
from lifecycle.shared.yaml_text import parse_yaml

DATA_FILE = Path("data.dvc")


def main() -> None:
    """Bring everything up to date; quick where everything is."""
    tracked = "--untracked" not in sys.argv[1:]
    asked = subprocess.Popen(
        ["dvc", "status", "--json", "dvc.yaml", "data.dvc"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    # DVC takes half a second to answer: meanwhile the slow imports are done and the parameters are read.
    from lifecycle.pipeline.summary import summary
    from lifecycle.pipeline.track import track
    from lifecycle.shared.params import load_params

    try:
        params = load_params()
    except UserError:
        asked.kill()
        asked.communicate()
        raise
    changed = _answer(asked)
    data_was = DATA_FILE.read_bytes()
    if changed:
        _reproduce(changed)
    else:
        print("Nothing has changed: data, model and metrics are up to date.")
    print(f"\n{summary(params, track() if tracked else None)}")
    if DATA_FILE.read_bytes() != data_was:
        print(
            "\nThe data has changed, and data.dvc with it. So that others get it:\n"
            "  .venv/bin/dvc push data.dvc && git add data.dvc .dvc/remote && git commit"
        )


def _answer(asked: "subprocess.Popen[str]") -> dict[str, Any]:
    """What `dvc status` says has changed, by stage; empty where nothing has."""
    output, errors = asked.communicate()
    if asked.returncode:
        raise UserError(f"`dvc status` failed:\n{errors.strip()}")
    found: dict[str, Any] = json.loads(output)
    return found


def _reproduce(changed: dict[str, Any]) -> None:
    from lifecycle.shared.months import DATA

    if not DATA.exists():
        _pull()
    elif DATA_FILE.name in changed:
        # `dvc repro` would record the changed data in data.dvc before any stage looks at it. Bad data stops here.
        _dvc("repro", "--single-item", "prepare")
    deleted = [name for name, found in changed.items() if _has_lost_outputs(found)]
    if deleted:
        # What has been made before is in the cache, where CI restores it, and need not be made again. Outputs that
        # persist have no part in the cache of runs, by which `dvc repro` would find it by itself.
        _dvc("checkout", "--quiet", "--allow-missing", *deleted)
    _dvc("repro")


def _has_lost_outputs(found: list[Any]) -> bool:
    """Whether a stage's status says so; its parts are texts, or differences by what they are of."""
    return any("deleted" in one.get("changed outs", {}).values() for one in found if isinstance(one, dict))


def _pull() -> None:
    outs = parse_yaml(DATA_FILE.read_text(encoding="utf-8"))["outs"]
    require_space(Path(), 2 * sum(out["size"] for out in outs))  # once in DVC's cache, once in data/
    print("fetching the data …", flush=True)
    try:
        _dvc("pull", str(DATA_FILE))
    except UserError as error:
        raise UserError(
            "the data could not be fetched, see above. `dvc remote list` tells which remote was asked: is it spelt "
            "right in .dvc/config, can it be reached, are the credentials set? Then run `make` again."
        ) from error


def _dvc(*arguments: str) -> None:
    if subprocess.run(["dvc", *arguments], check=False).returncode:
        raise UserError(f"`dvc {' '.join(arguments)}` failed, see above. The last good outputs are where they were.")


if __name__ == "__main__":
    console.run_main(main)
