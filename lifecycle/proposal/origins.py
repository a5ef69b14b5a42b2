"""A DVC stage outside of the default pipeline: the recipe, trained at earlier points in time.

A model that is better on one month may owe it to what that month was like, or to luck. A recipe that is better at
several origins, each time trained on what came before and judged on what followed, can be expected to be better in the
next month, too (rolling-origin evaluation: Tashman 2000). Only models are written here: `propose.py` decides on which
rows they are judged.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lifecycle.pipeline import stage
from lifecycle.pipeline.prepare import prepare
from lifecycle.pipeline.train import train
from lifecycle.shared.files import replacing_folder, write_json
from lifecycle.shared.months import DATA, month_path
from lifecycle.shared.params import Months, Params, load_params

PLAN = Path("artifacts/origins.json")
ORIGINS = Path("artifacts/origins")


@dataclass(frozen=True)
class OriginPlan:
    """Which models are trained: for each origin and seed one, but for the one that the pipeline itself has trained.

    Attributes:
        origins: How many; the last one is that of the holdout.
        seeds: How many models at each.
        apart: Months from one origin to the next.
    """

    origins: int
    seeds: int
    apart: int

    def models(self) -> list[tuple[int, int]]:
        """How many origins before the last one each model is trained, and the number of its seed."""
        return [(back, seed) for back in range(self.origins) for seed in range(self.seeds) if back or seed]


def moved_back(span: Months, months: int) -> Months:
    """A span as many months earlier."""
    first, last = (str(np.datetime64(month, "M") - months) for month in (span.first, span.last))
    return Months(first=first, last=last)


def window_at(window: Months, months: int, *, rolling: bool) -> Months | None:
    """The window of an origin so many months before the last one.

    Args:
        window: Of the last origin.
        months: How many months before.
        rolling: Whether its length stays; else its first month does.

    Returns:
        None where there is no month left to train on.
    """
    moved = moved_back(window, months)
    if rolling:
        return moved
    return Months(first=window.first, last=moved.last) if moved.last >= window.first else None


def possible_origins(window: Months, holdout: Months, data: Path, *, rolling: bool) -> int:
    """How many origins the data of a recipe has the months for.

    Args:
        window: Of the last origin.
        holdout: Its length is the distance between origins.
        data: Folder of the month files.
        rolling: Whether the window's length stays.
    """
    apart, count = len(holdout.months()), 0
    while True:
        found = window_at(window, count * apart, rolling=rolling)
        if found is None or not all(month_path(month, data).exists() for month in found.months()):
            return count
        count += 1


def model_folder(back: int, seed: int, folder: Path = ORIGINS) -> Path:
    """Where the model of an origin and a seed is."""
    return folder / f"{back}-{seed}"


def at_origin(params: Params, months: int) -> Params:
    """The parameters as they would have been so many months before.

    Args:
        params: Of the last origin.
        months: How many months before; the data has to reach so far.
    """
    window = window_at(params.window, months, rolling=params.retraining.window != "expanding")
    return params.model_copy(update={"window": window, "holdout": moved_back(params.holdout, months)})


def train_at_origins(params: Params, plan: OriginPlan, data: Path = DATA, output: Path = ORIGINS) -> str:
    """Train the recipe at each origin, with the stages of the pipeline.

    Args:
        params: Of the last origin.
        plan: Which models to train.
        data: Folder of the month files.
        output: Folder that is replaced; see `model_folder`.

    Returns:
        What was done, in a line.

    Raises:
        UserError: Where a stage fails.
    """
    with replacing_folder(output) as folder, tempfile.TemporaryDirectory() as temporary:
        prepared: dict[int, Path] = {}
        for back, seed in plan.models():
            then = at_origin(params, back * plan.apart)
            if back not in prepared:
                prepared[back] = Path(temporary) / str(back)
                prepare(then, data, prepared[back])
            seeded = then.model_copy(update={"seed": (params.seed + seed) % 2**32})
            train(seeded, prepared[back], model_folder(back, seed, folder))
    return f"{len(plan.models())} models at {plan.origins} origins"


def write_plan(plan: OriginPlan, folder: Path = Path()) -> None:
    """Tell the stage of a checkout what to train."""
    write_json(folder / PLAN, plan.__dict__)


def main() -> str:
    """Run the stage."""
    plan = OriginPlan(**json.loads(PLAN.read_text(encoding="utf-8")))
    return train_at_origins(load_params(), plan)


if __name__ == "__main__":
    stage.run_stage("origins", main)
