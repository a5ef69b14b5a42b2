"""The snapshot of a day: counts of inputs and predictions in a Parquet file, which outlives the log.

The file has a row for each variable and bin. The bins are those of the model's training data, so that the counts of
several days of a version can be added up.
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
    """Count the predictions of a version on a day.

    Args:
        path: Parquet file to write.
        log: Log of this day and version.
        reference: Reference of the version.
        day: Day of the snapshot.
        version: Version of the model.
    """
    counts = count_distributions(log.predictions, reference.bins).counts
    rows_of_bins = [
        {"day": day, "version": version, "variable": variable, "bin": name, "rows": rows}
        for variable, by_bin in counts.items()
        for name, rows in zip(reference.bins[variable].names(), by_bin, strict=True)
    ]
    with replacing_file(path) as aside:
        pq.write_table(pa.Table.from_pylist(rows_of_bins), aside)
