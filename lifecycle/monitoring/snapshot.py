"""The snapshot of a day: how inputs and predictions were distributed, in a Parquet file that outlives the log.

A line for each variable and bin. The bins are those of the model's training data: days of one version can be added up.
"""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.monitoring.log import Log
from lifecycle.pipeline.reference import Reference
from lifecycle.shared.distributions import count_distributions
from lifecycle.shared.files import replacing_file


def write_snapshot(path: Path, log: Log, reference: Reference, day: date, version: str) -> None:
    """Count a day of a version.

    Args:
        path: To write to.
        log: Of this day and this version.
        reference: Of the version.
        day: Of the snapshot.
        version: Of the snapshot.
    """
    counts = count_distributions(log.predictions, reference.bins).counts
    lines = [
        {"day": day, "version": version, "variable": variable, "bin": name, "rows": rows}
        for variable, found in counts.items()
        for name, rows in zip(reference.bins[variable].names(), found, strict=True)
    ]
    with replacing_file(path) as aside:
        pq.write_table(pa.Table.from_pylist(lines), aside)
