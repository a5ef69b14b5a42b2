"""The plots of dvc.yaml as a page by itself: candidate and champion in each, and nothing loaded from elsewhere."""

import html
import json

from lifecycle.shared.commands import CommandError, run
from model import contract

_ABOUT = "Each as its own commit evaluated it, on its own holdout. The report compares them on the same rows."
_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>{name}: plots</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2rem auto; padding: 0 1rem; }}
  section {{ display: flex; flex-wrap: wrap; gap: 2rem; align-items: flex-start; }}
  svg {{ max-width: 100%; height: auto; }}
</style>
<h1>{name}</h1>
<p>{verdict}</p>
<p>{about}</p>
<section>
{pictures}
</section>
</html>
"""


def page(verdict: str, champion: str | None) -> str:
    """The page; what the plots are is up to dvc.yaml.

    Args:
        verdict: What to say above them.
        champion: Its commit; None where there is none.
    """
    import vl_convert

    command = ["dvc", "plots", "diff", champion, "--json"] if champion else ["dvc", "plots", "show", "--json"]
    try:
        said = run(command)
    except CommandError as error:
        return _page(verdict, f"DVC could not make the plots: {error}", [])
    pictures = []
    for plots in json.loads(said)["data"].values():
        for plot in plots:
            specification = json.dumps(plot["content"]) if isinstance(plot["content"], dict) else plot["content"]
            named = specification.replace('"workspace"', '"candidate"')
            if champion:
                named = named.replace(f'"{champion}"', '"champion"')
            pictures.append(vl_convert.vegalite_to_svg(named))
    return _page(verdict, _ABOUT if champion else "", pictures)


def _page(verdict: str, about: str, pictures: list[str]) -> str:
    return _PAGE.format(
        name=html.escape(contract.NAME),
        verdict=html.escape(verdict),
        about=html.escape(about),
        pictures="\n".join(pictures),
    )
