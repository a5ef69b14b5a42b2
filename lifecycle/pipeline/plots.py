"""The plots of dvc.yaml on a page: of a run in MLflow, and of candidate and champion in a proposal."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lifecycle.shared.commands import CommandError, run
from lifecycle.shared.vega import DrawingError, Picture, page, to_svg
from model import contract

_ABOUT_BOTH = "Each as its own commit evaluated it, on its own holdout. The report compares them on the same rows."


def plots_page(name: str, about: str = "", champion: str | None = None) -> str:
    """The page, as HTML; which plots there are is up to dvc.yaml.

    Args:
        name: What the model of the working tree is called in the plots.
        about: Text above them.
        champion: Commit of the model to draw beside it; None where there is none.
    """
    command = ["dvc", "plots", "diff", champion, "--json"] if champion else ["dvc", "plots", "show", "--json"]
    names = {"workspace": name} | ({champion: "champion"} if champion else {})
    paragraphs, pictures = [about, _ABOUT_BOTH if champion else ""], []
    try:
        for title, specification in _specifications(run(command), names):
            try:
                pictures.append(Picture(to_svg(specification)))
            except DrawingError as error:
                paragraphs.append(f"The plot {title} cannot be drawn: {error}")
    except CommandError as error:
        paragraphs.append(f"DVC could not make the plots: {error}")
    return page(contract.NAME, paragraphs, pictures)


def _specifications(printed: str, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The title and the Vega-Lite specification of each plot, with revisions by their names.

    Args:
        printed: What `dvc plots` printed.
        names: By revision.
    """
    plots_by_title: dict[str, list[dict[str, Any]]] = json.loads(printed)["data"]
    for title, plots in plots_by_title.items():
        for plot in plots:
            if plot["type"] == "vega":  # the others are pictures already
                content = plot["content"]
                specification = content if isinstance(content, str) else json.dumps(content)
                for revision, name in names.items():
                    specification = specification.replace(json.dumps(revision), json.dumps(name))
                yield title, specification
