"""`make gates`: propose margins for the gates of params.yaml, from the differences of equally good models on your data.

At each origin, the recipe is trained on three bootstrap samples of the rows before it. These models are equally good
and differ by the chance of their rows. A margin has to allow for their differences on the following period. It is
chosen so that an equally good model is shown to be no worse in 95 of 100 comparisons.
"""

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import ndtri

from lifecycle.pipeline.evaluate import WHOLE, point_metrics
from lifecycle.pipeline.prepare import prepare
from lifecycle.pipeline.train import train
from lifecycle.proposal import OUTPUT
from lifecycle.proposal.compare import Rows, compare, resolution
from lifecycle.proposal.origins import at_origin, possible_origins
from lifecycle.shared import console
from lifecycle.shared.chosen_task import METRICS
from lifecycle.shared.clusters import cluster_columns, find_clusters
from lifecycle.shared.files import write_text
from lifecycle.shared.intervals import student_quantile
from lifecycle.shared.params import Params, load_params
from lifecycle.shared.parts import DATA
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.rounding import round_up
from lifecycle.shared.tables import to_columns, to_target
from lifecycle.shared.tasks.task import Predictions, Targets
from lifecycle.shared.text import table

REPORT = OUTPUT / "margins.md"
_SAMPLES = 3  # number of models at each origin
_POWER = 0.95  # share of equally good models that must pass

_TEXT = """\
# Margins for the gates

Written by `make gates`: {origins} of {period}, {samples} models at each, trained on bootstrap samples of the rows.

{table}

Equally good models differ by the *typical difference* (root mean square over origins and pairs). The margin is ({t:.2f}
+ {z:.2f}) / sqrt({count}) typical differences, for an interval over {count} {unit}: {t:.2f} is the quantile of
Student's t for the interval, and {z:.2f} that of the normal distribution, so that {power:.0%} of equally good models
pass.

To use these margins, put this into params.yaml:

```yaml
  worse_by_at_most:
{yaml}
```
"""


def propose_margins(params: Params, data: Path = DATA) -> str:
    """Train equally good models, compare them, and compute the margins that they need.

    Args:
        params: Recipe, origins and metrics.
        data: Directory of the data.

    Returns:
        The text with the margins and their derivation.
    """
    apart, rolling = len(params.holdout.parts()), params.retraining.window != "expanding"
    count = max(
        1, min(params.comparison.origins, possible_origins(params.window, params.holdout, data, rolling=rolling))
    )
    differences: list[Mapping[str, float]] = []
    last: tuple[pa.Table, Targets, list[Predictions]] | None = None
    for back in reversed(range(count)):
        table_, targets, scores = _equal_models(at_origin(params, back * apart), data)
        points = [point_metrics(targets, predictions, params) for predictions in scores]
        pairs = itertools.combinations(points, 2)
        differences += [dict(zip(METRICS, (first - second).tolist(), strict=True)) for first, second in pairs]
        last = table_, targets, scores
    if count > 1:
        typical = {
            name: float(np.sqrt(np.mean([difference[name] ** 2 for difference in differences]))) for name in METRICS
        }
        return _text(params, typical, count, "origins", count)
    assert last is not None  # noqa: S101 - there is at least one origin
    errors, clusters = _on_the_holdout(params, *last)
    return _text(params, errors, clusters, "clusters", count)


def _equal_models(params: Params, data: Path) -> tuple[pa.Table, Targets, list[Predictions]]:
    """Return the rows of an origin's period, their outcomes, and the scores of models trained on bootstrap samples."""
    with tempfile.TemporaryDirectory() as name:
        prepared = Path(name) / "prepared"
        prepare(params, data, prepared)
        holdout = pq.read_table(prepared / "holdout.parquet")
        rows = pq.read_table(prepared / "train.parquet")
        columns, scores = to_columns(holdout), []
        for sample in range(_SAMPLES):
            random = np.random.default_rng([params.seed, sample])
            drawn = np.sort(random.integers(0, rows.num_rows, rows.num_rows))
            pq.write_table(rows.take(pa.array(drawn)), prepared / "train.parquet")
            train(params, prepared, Path(name) / "model")
            scores.append(Predictor.load(Path(name) / "model").predict(columns))
        return holdout, to_target(holdout), scores


def _on_the_holdout(
    params: Params, table_: pa.Table, targets: Targets, scores: Sequence[Predictions]
) -> tuple[dict[str, float], int]:
    """Return the typical difference for one origin, scaled to its clusters, and the number of clusters."""
    clusters = find_clusters(table_.select(cluster_columns()))
    parts = [
        compare(Rows(targets, first, second, clusters, {}), params)[WHOLE].metrics
        for first, second in itertools.combinations(scores, 2)
    ]
    half_widths = {
        name: float(np.sqrt(np.mean([resolution(part[name].delta) ** 2 for part in parts]))) for name in METRICS
    }
    scale = np.sqrt(clusters.count) / student_quantile(clusters.count, params.metrics.confidence)
    return {name: half_width * scale for name, half_width in half_widths.items()}, clusters.count


def _text(params: Params, typical: Mapping[str, float], count: int, unit: str, origins: int) -> str:
    t, z = student_quantile(count, params.metrics.confidence), float(ndtri(_POWER))
    margins = {name: round_up((t + z) / np.sqrt(count) * difference) for name, difference in typical.items()}
    rows = [
        [METRICS[name].label, f"{typical[name]:.2g}", f"{margins[name]:g}", _present(params, name)] for name in METRICS
    ]
    return _TEXT.format(
        origins=f"{origins} origin{'s' if origins != 1 else ''}",
        period=params.holdout.in_words(),
        samples=_SAMPLES,
        table=table(["", "typical difference", "margin", "in params.yaml"], rows, "lrrr"),
        count=count,
        unit=unit,
        t=t,
        z=z,
        power=_POWER,
        yaml="\n".join(f"    {name}: {margin:g}" for name, margin in margins.items()),
    )


def _present(params: Params, name: str) -> str:
    margin = params.gates.worse_by_at_most.get(name)
    return "-" if margin is None else f"{margin:g}"


def main() -> None:
    """Compute, print and write the margins."""
    text = propose_margins(load_params())
    write_text(REPORT, text)
    print(f"\n{text}\nThis text is in {REPORT}.")


if __name__ == "__main__":
    console.run_main(main)
