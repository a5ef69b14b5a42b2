"""`python -m lifecycle.adoption DATA TARGET`: make this repository a project of your own, from a table of yours.

DATA is a CSV or Parquet file, or with --query the URL of a database. The command writes model/ and params.yaml, removes
the example, adds the rows to the data, trains the first model, and says what is left to you. If it is interrupted, run
it again.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from lifecycle.adoption import project_files
from lifecycle.adoption.adoption_plan import AdoptionRequest, Plan, as_kind, choose_salt, make_plan
from lifecycle.adoption.gates import before_training
from lifecycle.adoption.profile import profiles
from lifecycle.pipeline.ingest import fold_key
from lifecycle.registry.store import BRANCH
from lifecycle.shared import console
from lifecycle.shared.commands import git
from lifecycle.shared.console import CommandError, UserError, first_line
from lifecycle.shared.contract_check import slug
from lifecycle.shared.files import write_json, write_text
from lifecycle.shared.parts import key_texts
from lifecycle.shared.source import TABLE, Source, readable_errors
from lifecycle.shared.tasks.kinds import task_of

# The example's data, model and history, which a project starts without.
_EXAMPLE = (
    "data",
    "data.dvc",
    "dvc.lock",
    ".dvc/remote",
    "reports",
    ".mlflow",
    "artifacts/prepared",
    "artifacts/model",
    ".registry",
)
_FROZEN = Path("tests/lifecycle/example")
_EXAMPLE_CONTRACT = _FROZEN / "model/contract.py"
_SALT_ROWS = 20_000


def main() -> None:
    """Adopt a table."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.adoption", description=__doc__)
    parser.add_argument("data", metavar="DATA", help="CSV or Parquet file, or URL of a database")
    parser.add_argument("target", metavar="TARGET", help="column to predict")
    parser.add_argument("--time", help="column with the time of the rows; without it, rows are split at random")
    parser.add_argument("--group", help="column that several rows share, such as a customer")
    parser.add_argument("--name", help="name of the project; default: that of the file")
    parser.add_argument("--kind", choices=("boolean", "category", "number"), help="kind of the target")
    parser.add_argument("--query", default="", help="query of the database")
    parser.add_argument("--force", action="store_true", help="overwrite edited files")
    arguments = parser.parse_args()
    is_example = _require_unedited(force=arguments.force)
    source = _source(arguments.data, arguments.query)
    name = slug(arguments.name or ("model" if source.query else Path(source.location).stem))
    request = AdoptionRequest(
        arguments.target, arguments.time or None, arguments.group or None, name, arguments.kind or None
    )
    plan = _planned(source, request)
    plan.to_do += [*_about_source(source), *(_about_registry() if is_example else [])]
    texts = _texts(plan, source)
    _remove_example()
    _write(texts)
    _finish(plan)


def _source(location: str, query: str) -> Source:
    is_database = bool(re.match(r"^(postgresql|mysql|sqlite|mssql|oracle)[+\w]*://", location))
    if is_database and not query:
        raise UserError("a database needs QUERY, the query whose result is the table.")
    if query and not is_database:
        raise UserError(f"QUERY is for a database, but {location} is not the URL of one.")
    if not is_database and "://" not in location and not Path(location).is_file():
        raise UserError(f"there is no file {location}. DATA is a CSV or Parquet file, or the URL of a database.")
    return Source(location, query)


def _about_source(source: Source) -> list[str]:
    """Return what is left to do about a table in a file of this machine."""
    path = Path(source.location)
    if source.query or not path.is_file():
        return []
    reachable = (
        f"{path} is on this machine only: `make ingest` can read it here, but a retraining on GitHub cannot. Put it "
        f"where both can, such as s3://bucket/table.parquet, and name that in model/data.py."
    )
    ignored = f"Add {path} to .gitignore: data/ is versioned, the table need not be in git."
    return [reachable, ignored] if path.resolve().is_relative_to(Path.cwd()) else [reachable]


def _about_registry() -> list[str]:
    """Return what is left to do about versions of the example that a release has registered."""
    remove = f"`git push origin --delete {BRANCH}` removes the versions of the example from the registry"
    try:
        if "origin" not in git("remote").split():
            return []
        return [f"{remove}."] if git("ls-remote", "--heads", "origin", BRANCH) else []
    except CommandError as error:
        reason = first_line(error)
        return [f"{remove}, if there are any: origin did not answer ({reason})."]


def _planned(source: Source, request: AdoptionRequest) -> Plan:
    """Describe the table and make the plan."""
    print(f"reading {source.location if not source.query else 'the database'} …", flush=True)
    with source.opened() as connection, readable_errors(source.location):
        found = profiles(connection)
        rows = connection.view(TABLE)
        if not found or not found[0].rows:
            raise UserError(f"{source.location} has no rows.")
        duplicates = found[0].rows - rows.distinct().aggregate("count(*)").fetchall()[0][0]
        plan = make_plan(found, request, duplicates)
        if plan.split.by == "time":
            return plan
        keys = fold_key(plan.columns, plan.identity, plan.group)
        target = as_kind(next(profile for profile in found if profile.name == request.target), request.kind)
        wanted = ", ".join([*(f'{plan.sql[key]} AS "{key}"' for key in keys), f'{target.sql} AS "target value"'])
        sample = rows.set_alias(TABLE).project(wanted).limit(_SALT_ROWS).fetchall()
    *columns, targets = zip(*sample, strict=True)
    classes = np.unique(np.array(targets).astype(str), return_inverse=True)[1]
    if plan.target.type == "number":
        classes = np.zeros_like(classes)
    salt = choose_salt(key_texts(columns), classes)
    return replace(plan, split=plan.split.model_copy(update={"salt": salt}))


def _texts(plan: Plan, source: Source) -> dict[str, str]:
    """Return the text of each file to write, by its path."""
    gates = before_training(task_of(plan.target).gated)
    is_number = plan.target.type == "number"
    estimators = project_files.REGRESSORS if is_number else _FROZEN / "model/estimator.py"
    return {
        "model/contract.py": project_files.contract_text(plan),
        "model/data.py": project_files.data_text(plan, source),
        "model/features.py": project_files.features_text(),
        "params.yaml": project_files.params_text(plan, gates),
        "model/estimator.py": estimators.read_text(encoding="utf-8"),
        # Not from the file as it is, which lacks the plots that an earlier adoption of another kind has removed.
        "dvc.yaml": _with_features(_with_plots((_FROZEN / "dvc.yaml").read_text(encoding="utf-8"), plan)),
        "bentofile.yaml": _with_features(Path("bentofile.yaml").read_text("utf-8")),
        "README.md": project_files.readme_text(plan),
        **_without_example_package(),
    }


def _without_example_package() -> dict[str, str]:
    """Return pyproject.toml and requirements/pipeline.txt without the package that holds the example's data."""
    paths = Path("pyproject.toml"), Path("requirements/pipeline.txt")
    project, requirements = (path.read_text(encoding="utf-8") for path in paths)
    declared = re.search(r'  "([\w.-]+)[^"]*", +# the example\'s data;[^\n]*\n', project)
    if declared:
        project = project.replace(declared[0], "")
        # The pin with its hashes, and what it is named for.
        requirements = re.sub(rf"(?m)^{re.escape(declared[1])}==.*\n(?:[ \t].*\n)*", "", requirements)
        requirements = re.sub(rf"(?m)^    #   {re.escape(declared[1])}\n", "", requirements)
    return {str(paths[0]): project, str(paths[1]): requirements}


def _with_plots(text: str, plan: Plan) -> str:
    """Return dvc.yaml with the plots of the target's kind instead of the example's."""
    task = task_of(plan.target)
    for name in {*re.findall(r"reports/plots/(\w+)\.csv: ", text)} - {*task.curve_names, "importance"}:
        text = re.sub(rf"  - [^\n]*:\n(?:      [^\n]*\n)*?      y: {{reports/plots/{name}\.csv[^\n]*\n", "", text)
    if plan.target.type == "number":  # the template for calibration is for probabilities
        text = text.replace(
            "  - calibration:\n      template: calibration\n", "  - mean outcome:\n      template: simple\n"
        )
    return text.replace("x: roc_auc_lost", f"x: {task.ranks}_lost")


def _with_features(text: str) -> str:
    """Return dvc.yaml or bentofile.yaml with the module of plain features, wherever features.py is listed."""
    module = "lifecycle/shared/plain_features.py"
    lines, listed = [], False
    for line in text.splitlines():
        path = line.strip().removeprefix("- ")
        listed = (listed or path == "model/features.py") and line.strip().startswith("- ")
        if listed and path == module:
            return text
        if listed and path > module and path.startswith("lifecycle/"):
            lines.append(line.replace(path, module))
            listed = False
        lines.append(line)
    return "\n".join(lines) + "\n"


def _require_unedited(*, force: bool) -> bool:
    """Fail if a file that is to be written has been edited, unless forced; return whether this is still the example."""
    try:
        changed = set(git("diff", "--name-only", "HEAD", "--", *project_files.YOURS).split())
        adopted = git("show", "HEAD:model/contract.py") != _EXAMPLE_CONTRACT.read_text(encoding="utf-8")
    except CommandError as error:
        raise UserError(f"git cannot tell which files you have edited: {error}") from error
    edited = [
        path for path in project_files.YOURS if (path in changed or adopted) and not project_files.is_as_written(path)
    ]
    if edited and not force:
        raise UserError(
            f"{', '.join(edited)} would be overwritten, and you have edited {'it' if len(edited) == 1 else 'them'}. "
            f"FORCE=1 overwrites."
        )
    return not adopted


def _remove_example() -> None:
    for name in _EXAMPLE:
        path = Path(name)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _write(texts: Mapping[str, str]) -> None:
    for path, text in texts.items():
        write_text(Path(path), text)
    project_files.record_written()


def _finish(plan: Plan) -> None:
    """Ingest, train and choose the gates, in a process that imports the new contract."""
    for warning in plan.warnings:
        print(f"warning: {warning}", flush=True)
    write_json(Path("artifacts/adoption-to-do.json"), plan.to_do)
    completed = subprocess.run([sys.executable, "-m", "lifecycle.adoption.finish"], check=False)
    sys.exit(completed.returncode)


if __name__ == "__main__":
    console.run_main(main)
