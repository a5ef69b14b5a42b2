"""Pictures drawn from Vega-Lite specifications, and self-contained HTML pages of such pictures."""

import html
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

# Browsers show texts in another font than the one they are measured in: without extra padding, texts overlap.
_CONFIG = {"font": "Arial, Helvetica, sans-serif", "axis": {"titlePadding": 10}, "legend": {"columnPadding": 40}}
# The start of a line of a JavaScript traceback.
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
    """An error for a specification that cannot be drawn. The message says why."""


class Picture(NamedTuple):
    """A picture on a page.

    Attributes:
        svg: Source of the picture.
        title: Title above the picture; empty if the picture has its own.
        note: Explanation below the title.
    """

    svg: str
    title: str = ""
    note: str = ""


def to_svg(specification: str | Mapping[str, Any]) -> str:
    """Draw a specification as SVG; a specification that loads data from elsewhere is refused.

    Args:
        specification: Vega-Lite specification, as JSON or parsed.

    Raises:
        DrawingError: If it cannot be drawn.
    """
    import vl_convert

    text = specification if isinstance(specification, str) else json.dumps(specification)
    try:
        return vl_convert.vegalite_to_svg(text, config=_CONFIG, allowed_base_urls=[])
    except ValueError as error:
        raise DrawingError(" ".join(line for line in str(error).splitlines() if not line.startswith(_TRACE))) from error


def page(title: str, paragraphs: Iterable[str], pictures: Iterable[Picture]) -> str:
    """Render an HTML page that contains its pictures; titles, notes and paragraphs are escaped."""
    return _PAGE.format(
        title=html.escape(title),
        paragraphs="\n".join(f"<p>{html.escape(text)}</p>" for text in paragraphs if text),
        pictures="\n".join(map(_figure, pictures)),
    )


def _figure(picture: Picture) -> str:
    caption = f"<b>{html.escape(picture.title)}</b><span>{html.escape(picture.note)}</span>" if picture.title else ""
    return f"<figure>{f'<figcaption>{caption}</figcaption>' if caption else ''}\n{picture.svg}\n</figure>"
