"""A DVC stage outside of the default pipeline that trains the recipe at earlier points in time.

A model may be better on one period because of that period, or by luck. A recipe that is better at several origins, each
time trained on the periods before and judged on the next one, can be expected to be better in the next period, too
(rolling-origin evaluation: Tashman 2000). Without time, an origin is a part of a cross-validation within the window.
This stage only writes the models; `propose.py` chooses the rows to judge them on.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lifecycle.pipeline import stage
from lifecycle.pipeline.prepare import prepare
from lifecycle.pipeline.train import train
from lifecycle.shared.files import replacing_folder, write_json
from lifecycle.shared.params import Params, Span, load_params
from lifecycle.shared.parts import DATA, is_fold, later, part_exists

PLAN = Path("artifacts/origins.json")
ORIGINS = Path("artifacts/origins")


@dataclass(frozen=True)
class OriginPlan:
    """The models to train: one for each origin and seed, except the one that the pipeline itself has trained.

    Attributes:
        origins: Number of origins; the last one is that of the holdout.
        seeds: Number of models at each origin.
        apart: Number of parts from one origin to the next.
    """

    origins: int
    seeds: int
    apart: int

    def models(self) -> list[tuple[int, int]]:
        """Return for each model the number of origins before the last one, and the number of its seed."""
        return [(back, seed) for back in range(self.origins) for seed in range(self.seeds) if back or seed]


def moved_back(span: Span, parts: int) -> Span:
    """Return the span that lies some parts earlier."""
    return Span(first=later(span.first, -parts), last=later(span.last, -parts))


def window_at(window: Span, parts: int, *, rolling: bool) -> Span | None:
    """Return the window of an origin some parts before the last one.

    Args:
        window: Window of the last origin.
        parts: Number of parts before the last origin.
        rolling: Whether the window keeps its length; otherwise it keeps its first period.

    Returns:
        The window; None if no period is left to train on. Folds have no order in time: their window stays, and the
        folds that are judged are left out of it.
    """
    if is_fold(window.first):
        return window
    moved = moved_back(window, parts)
    if rolling:
        return moved
    return Span(first=window.first, last=moved.last) if moved.last >= window.first else None


def possible_origins(window: Span, holdout: Span, data: Path, *, rolling: bool) -> int:
    """Count the origins that the data of a recipe has the parts for.

    Args:
        window: Window of the last origin.
        holdout: Holdout, whose length is the distance between origins.
        data: Directory of the data.
        rolling: Whether the window keeps its length.
    """
    apart, count = len(holdout.parts()), 0
    if is_fold(window.first):
        # Each earlier origin is judged on as many folds of the window, and at least one is left to train on.
        while len(window.parts()) > apart and _within(window, holdout, (count + 1) * apart):
            count += 1
        return count + 1
    while True:
        earlier = window_at(window, count * apart, rolling=rolling)
        if earlier is None or not all(part_exists(part, data) for part in earlier.parts()):
            return count
        count += 1


def _within(window: Span, folds: Span, parts: int) -> bool:
    """Return whether folds that lie some places earlier are all in the window."""
    try:
        moved = moved_back(folds, parts)
    except ValueError:
        return False
    return window.first <= moved.first and moved.last <= window.last


def model_folder(back: int, seed: int, folder: Path = ORIGINS) -> Path:
    """Return the directory of the model of an origin and a seed."""
    return folder / f"{back}-{seed}"


def at_origin(params: Params, parts: int) -> Params:
    """Return the parameters of an origin some parts before the last one.

    Args:
        params: Parameters of the last origin.
        parts: Number of parts before the last origin; the data must go back that far.
    """
    window = window_at(params.window, parts, rolling=params.retraining.window != "expanding")
    return params.model_copy(update={"window": window, "holdout": moved_back(params.holdout, parts)})


def train_at_origins(params: Params, plan: OriginPlan, data: Path = DATA, output: Path = ORIGINS) -> str:
    """Train the recipe at each origin, with the stages of the pipeline.

    Args:
        params: Parameters of the last origin.
        plan: Models to train.
        data: Directory of the data.
        output: Directory to replace; see `model_folder`.

    Returns:
        A line that describes the result.

    Raises:
        UserError: If a stage fails.
    """
    with replacing_folder(output) as folder, tempfile.TemporaryDirectory() as temporary:
        prepared: dict[int, Path] = {}
        for back, seed in plan.models():
            earlier = at_origin(params, back * plan.apart)
            if back not in prepared:
                prepared[back] = Path(temporary) / str(back)
                prepare(earlier, data, prepared[back])
            seeded = earlier.model_copy(update={"seed": (params.seed + seed) % 2**32})
            train(seeded, prepared[back], model_folder(back, seed, folder))
    return f"{len(plan.models())} models at {plan.origins} origins"


def write_plan(plan: OriginPlan, folder: Path = Path()) -> None:
    """Write the plan for the stage of a checkout."""
    write_json(folder / PLAN, plan.__dict__)


def main() -> str:
    """Run the stage."""
    plan = OriginPlan(**json.loads(PLAN.read_text(encoding="utf-8")))
    return train_at_origins(load_params(), plan)


if __name__ == "__main__":
    stage.run_stage("origins", main)
