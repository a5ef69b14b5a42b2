"""Pictures drawn from Vega-Lite specifications, and pages of them that load nothing from elsewhere."""

import html
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

# Browsers take another font than the one that texts are measured in: what is tight there overlaps here.
_CONFIG = {"font": "Arial, Helvetica, sans-serif", "axis": {"titlePadding": 10}, "legend": {"columnPadding": 40}}
# How a line of JavaScript's traceback begins.
_TRACE = "    at "
_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 1240px; margin: 2rem auto; padding: 0 1rem; }}
  section {{ display: flex; flex-wrap: wrap; gap: 2rem; align-items: flex-start; }}
  figure {{ margin: 0; }}
  figcaption span {{ display: block; color: #555; font-size: 14px; }}
  svg {{ max-width: 100%; height: auto; }}
</style>
<h1>{title}</h1>
{paragraphs}
<section>
{pictures}
</section>
</html>
"""


class DrawingError(Exception):
    """A specification cannot be drawn; the message says why."""


class Picture(NamedTuple):
    """A picture on a page.

    Attributes:
        svg: The picture.
        title: Title above it; empty where the picture has its own.
        note: What to know of it, below the title.
    """

    svg: str
    title: str = ""
    note: str = ""


def to_svg(specification: str | Mapping[str, Any]) -> str:
    """Draw a specification, which may not load data from elsewhere.

    Args:
        specification: Vega-Lite, as JSON or as what JSON is read into.

    Raises:
        DrawingError: Where it cannot be drawn.
    """
    import vl_convert

    text = specification if isinstance(specification, str) else json.dumps(specification)
    try:
        return vl_convert.vegalite_to_svg(text, config=_CONFIG, allowed_base_urls=[])
    except ValueError as error:
        raise DrawingError(" ".join(line for line in str(error).splitlines() if not line.startswith(_TRACE))) from error


def page(title: str, paragraphs: Iterable[str], pictures: Iterable[Picture]) -> str:
    """An HTML page that holds its pictures; titles, notes and paragraphs are escaped."""
    return _PAGE.format(
        title=html.escape(title),
        paragraphs="\n".join(f"<p>{html.escape(text)}</p>" for text in paragraphs if text),
        pictures="\n".join(map(_figure, pictures)),
    )


def _figure(picture: Picture) -> str:
    caption = f"<b>{html.escape(picture.title)}</b><span>{html.escape(picture.note)}</span>" if picture.title else ""
    return f"<figure>{f'<figcaption>{caption}</figcaption>' if caption else ''}\n{picture.svg}\n</figure>"
