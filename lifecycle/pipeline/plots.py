"""An HTML page with the plots of dvc.yaml: for a run in MLflow, or for candidate and champion of a proposal."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lifecycle.shared.commands import run
from lifecycle.shared.console import CommandError
from lifecycle.shared.vega import DrawingError, Picture, page, to_svg
from model import contract

_ABOUT_BOTH = "Each model is shown on the holdout of its own commit. The report compares both on the same rows."


def plots_page(name: str, about: str = "", champion: str | None = None) -> str:
    """Render the plots that dvc.yaml declares as an HTML page.

    Args:
        name: Name of the working tree's model in the plots.
        about: Text above the plots.
        champion: Commit of the champion, to draw its curves as well; None for the working tree alone.
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
    """Yield title and Vega-Lite specification of each plot, with names in place of revisions.

    Args:
        printed: JSON output of `dvc plots`.
        names: Name of each revision.
    """
    plots_by_title: dict[str, list[dict[str, Any]]] = json.loads(printed)["data"]
    for title, plots in plots_by_title.items():
        for plot in plots:
            if plot["type"] == "vega":  # the other types are images
                content = plot["content"]
                specification = content if isinstance(content, str) else json.dumps(content)
                for revision, name in names.items():
                    specification = specification.replace(json.dumps(revision), json.dumps(name))
                yield title, specification
