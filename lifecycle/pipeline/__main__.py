"""The command behind `make`: fetch the data, bring the pipeline up to date, track the run and print a summary.

`python -m lifecycle.pipeline --untracked` skips the tracking: a proposal need not become an MLflow run.
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
    """Run the stages that are out of date, track the run and print a summary."""
    tracked = "--untracked" not in sys.argv[1:]
    status = subprocess.Popen(
        ["dvc", "status", "--json", "dvc.yaml", "data.dvc"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    # `dvc status` takes half a second. The slow imports and the parameters are loaded meanwhile.
    from lifecycle.pipeline.summary import summary
    from lifecycle.pipeline.track import track
    from lifecycle.shared.params import load_params

    try:
        params = load_params()
    except UserError:
        status.kill()
        status.communicate()
        raise
    changed = _changes(status)
    data_before = DATA_FILE.read_bytes()
    if changed:
        _reproduce(changed)
    else:
        print("Nothing has changed: data, model and metrics are up to date.")
    print(f"\n{summary(params, track() if tracked else None)}")
    if DATA_FILE.read_bytes() != data_before:
        print(
            "\nThe data has changed, and data.dvc with it. To share it with others:\n"
            "  .venv/bin/dvc push data.dvc && git add data.dvc .dvc/remote && git commit"
        )


def _changes(status: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait for `dvc status` and return the changes it reports, by stage; empty if everything is up to date."""
    output, errors = status.communicate()
    if status.returncode:
        raise UserError(f"`dvc status` failed:\n{errors.strip()}")
    changed: dict[str, Any] = json.loads(output)
    return changed


def _reproduce(changed: dict[str, Any]) -> None:
    from lifecycle.pipeline.verify_cache import remove_damaged
    from lifecycle.shared.parts import DATA

    # DVC would restore a damaged object as it is.
    for name in remove_damaged():
        print(f"the object {name} of DVC's cache was damaged and is removed.")
    if not DATA.exists():
        _pull()
    elif DATA_FILE.name in changed:
        # `dvc repro` would record the changed data in data.dvc before any stage validates it. Validate it first.
        _dvc("repro", "--single-item", "prepare")
    incomplete = [name for name, reported in changed.items() if _has_deleted_outputs(reported)]
    if incomplete:
        # Outputs made before are in the cache, which CI restores. `dvc repro` does not find them there by itself: its
        # run cache does not cover outputs with `persist`.
        _dvc("checkout", "--quiet", "--allow-missing", *incomplete)
    _dvc("repro")


def _has_deleted_outputs(reported: list[Any]) -> bool:
    """Return whether `dvc status` reports a deleted output of a stage; its entries are texts or mappings."""
    return any("deleted" in entry.get("changed outs", {}).values() for entry in reported if isinstance(entry, dict))


def _pull() -> None:
    outs = parse_yaml(DATA_FILE.read_text(encoding="utf-8"))["outs"]
    require_space(Path(), 2 * sum(out["size"] for out in outs))  # once in DVC's cache, once in data/
    print("fetching the data …", flush=True)
    try:
        _dvc("pull", str(DATA_FILE))
    except UserError as error:
        raise UserError(
            "the data could not be fetched, see above. `dvc remote list` shows the remote. Check that its address in "
            ".dvc/config is right, that it can be reached and that the credentials are set. A file "
            "whose content does not match its hash is not fetched: restore it there. Then run `make` again."
        ) from error


def _dvc(*arguments: str) -> None:
    if subprocess.run(["dvc", *arguments], check=False).returncode:
        raise UserError(f"`dvc {' '.join(arguments)}` failed, see above. The last good outputs are still in place.")


if __name__ == "__main__":
    console.run_main(main)
