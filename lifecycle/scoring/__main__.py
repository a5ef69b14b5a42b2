"""`python -m lifecycle.scoring FROM TO`: score what is new in a directory, with the champion and its own code.

FROM and TO are directories, anywhere that fsspec reads and writes. A Parquet or CSV file in FROM is new if TO has no
file of the same name. The scored file has the rows of the file, each with its prediction and the id of the prediction
in the log. Predictions are logged before the scored file is written. The same rows get the same ids, so that a run that
was interrupted is completed by the next one.
"""

import argparse
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.pipeline.predict import BATCH, ENDINGS, table_writer
from lifecycle.prediction_log.append import append_records, upload
from lifecycle.prediction_log.database import Prediction
from lifecycle.prediction_log.log_settings import LogSettings, read_environment
from lifecycle.proposal.champion import Champion, NoChampionError, check_out_code
from lifecycle.registry.store import existing
from lifecycle.shared import console
from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.commands import git
from lifecycle.shared.console import CommandError, UserError, first_line
from lifecycle.shared.files import sha256

_ID = "prediction_id"


@dataclass(frozen=True)
class _Scorer:
    """The champion.

    Attributes:
        version: Its number in the registry.
        champion: Its code.
        model: Directory of its model.
    """

    version: str
    champion: Champion
    model: Path

    def document(self, name: str) -> dict[str, Any]:
        """Return the content of a JSON file of the model."""
        content: dict[str, Any] = json.loads((self.model / name).read_text(encoding="utf-8"))
        return content

    def score(self, rows: Path, scored: Path) -> None:
        """Score a file with the champion's own code.

        Raises:
            UserError: If the file cannot be read or violates the champion's contract.
        """
        module = self.champion.interface.predict
        try:
            self.champion.run("-m", module, rows.resolve(), scored.resolve(), "--model", self.model.resolve())
        except CommandError as error:
            reason = str(error).removeprefix("error: ").replace(str(rows.resolve()), "it")
            raise UserError(reason) from error
        missing = set(TASK.output_columns()) - set(pq.read_schema(scored).names)
        if missing:
            raise UserError(
                f"version {self.version} does not predict {', '.join(sorted(missing))}: its target is of another kind "
                f"than that of model/contract.py"
            )


def main() -> None:
    """Score the new files."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.scoring", description=__doc__)
    parser.add_argument("source", metavar="FROM", help="directory with the files to score")
    parser.add_argument("target", metavar="TO", help="directory for the scored files")
    arguments = parser.parse_args()
    source, target = arguments.source.rstrip("/"), arguments.target.rstrip("/")
    log = _log_url()
    new = _new_files(source, target)
    if not new:
        print(f"nothing in {source} is new.")
        return
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        scorer = _champion(Path(folder))
        for name in new:
            try:
                rows = _score_file(name, source, target, log, scorer)
            except UserError as error:
                failed += 1
                print(f"error: {source}/{name}: {error}", flush=True)
            else:
                print(f"{target}/{name}: {rows:,} rows, version {scorer.version}", flush=True)
    if failed:
        raise UserError(f"{failed} of {len(new)} files could not be scored; the next run tries them again.")


def _log_url() -> str:
    settings = read_environment(LogSettings)
    if os.environ.get("GITHUB_ACTIONS") and not settings.prediction_log_url:
        raise UserError(
            "the secret PREDICTION_LOG_URL is not set in the environment `monitoring`, so the predictions would be "
            "lost with this runner. It names a database, or a directory such as s3://bucket/log."
        )
    return settings.log_url()


def _new_files(source: str, target: str) -> list[str]:
    """Return the names of the files in one directory that the other does not have.

    Raises:
        UserError: If the directory cannot be listed.
    """
    if source == target:
        raise UserError(f"FROM and TO are both {source}; scored files need a directory of their own.")
    with _errors_for_people():
        return sorted(_names(source, required=True) - _names(target, required=False))


def _names(directory: str, *, required: bool) -> set[str]:
    import fsspec

    files, folder = fsspec.core.url_to_fs(directory)
    if not files.isdir(folder):
        if required:
            raise UserError(f"there is no directory {directory}.")
        return set()
    names = (Path(path).name for path in files.ls(folder, detail=False))
    return {name for name in names if name.endswith(ENDINGS) and not name.startswith((".", "_"))}


def _champion(folder: Path) -> _Scorer:
    """Check out the code of the champion, and download its model into a directory."""
    with existing() as registry:
        version = registry.champion()
        if version is None or not version.commit:
            raise UserError("the registry has no champion with a commit: a merge to main promotes the first version.")
        model = registry.model(version, folder)
    try:
        git("cat-file", "-e", f"{version.commit}^{{commit}}")
    except CommandError:
        git("fetch", "--quiet", "origin")  # the clone is older than the release
    known_as = f"version {version.number}"
    try:
        return _Scorer(str(version.number), check_out_code(version.commit, known_as), model)
    except (CommandError, NoChampionError) as error:
        raise UserError(f"{known_as} cannot be checked out: {error}") from error


def _score_file(name: str, source: str, target: str, log: str, scorer: _Scorer) -> int:
    """Score a file, log its predictions, and write the scored file; return the number of rows."""
    import fsspec

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ending = Path(name).suffix
        rows, scored, finished = folder / f"rows{ending}", folder / "scored.parquet", folder / f"finished{ending}"
        with _errors_for_people():
            files, path = fsspec.core.url_to_fs(f"{source}/{name}")
            files.get_file(path, str(rows))
        scorer.score(rows, scored)
        content = sha256(rows)
        seed = f"{scorer.version} {content}"
        append_records(log, f"version-{scorer.version}-{content[:16]}", _records(scored, seed, scorer))
        with ExitStack() as stack:
            writer = None
            for ids, batch in _batches(scored, seed):
                table = pa.Table.from_batches([batch]).add_column(0, _ID, pa.array(ids))
                writer = writer or stack.enter_context(table_writer(finished, table.schema, ending))
                writer.write_table(table)
        with _errors_for_people():
            upload(finished, f"{target}/{name}")
        return int(pq.read_metadata(scored).num_rows)


def _batches(scored: Path, seed: str) -> Iterator[tuple[list[str], pa.RecordBatch]]:
    """Yield the rows of a scored file, a batch at a time, each with the ids of their predictions."""
    start = 0
    for batch in pq.ParquetFile(scored).iter_batches(BATCH):
        numbers = range(start, start + len(batch))
        yield [hashlib.sha256(f"{seed} {number}".encode()).hexdigest()[:32] for number in numbers], batch
        start += len(batch)


def _records(scored: Path, seed: str, scorer: _Scorer) -> Iterator[list[Prediction[msgspec.Raw]]]:
    """Yield the rows of a scored file as records of the log."""
    now, encode = time(), msgspec.json.encode
    contract, metadata = (scorer.document(name) for name in ("contract.json", "metadata.json"))
    versions = (scorer.version, metadata["contract_version"])
    for ids, batch in _batches(scored, seed):
        inputs = batch.select([name for name in contract["properties"] if name in batch.schema.names]).to_pylist()
        outputs = {name: batch.column(name).to_numpy(zero_copy_only=False) for name in TASK.output_columns()}
        predictions = TASK.read_output(outputs).tolist()
        yield [
            Prediction(row_id, now, *versions, row_id, prediction, msgspec.Raw(encode(row)))
            for row_id, prediction, row in zip(ids, predictions, inputs, strict=True)
        ]


@contextmanager
def _errors_for_people() -> Iterator[None]:
    try:
        yield
    except (OSError, ImportError, ValueError) as error:
        raise UserError(first_line(error)) from error


if __name__ == "__main__":
    console.run_main(main)
