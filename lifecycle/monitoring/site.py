"""The checks of many days as pages on the branch `gh-pages`, where GitHub Pages shows them, with an index over time."""

import html
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lifecycle.registry.branch import Branch
from model import contract

BRANCH = "gh-pages"
_HISTORY, _INDEX = "history.json", "index.html"
# A page of pictures has half a megabyte; a day in the index, and its counts, have next to nothing.
_KEPT_PAGES = 30
_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{name}: production</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }}
  table {{ border-collapse: collapse; width: 100%; }}
  th, td {{ text-align: left; padding: .3rem .8rem; border-bottom: 1px solid #ddd; vertical-align: top; }}
  td:first-child {{ white-space: nowrap; }}
  .number {{ text-align: right; font-variant-numeric: tabular-nums; }}
  .ok {{ color: #1a7f37; }} .warn {{ color: #9a6700; }} .act {{ color: #cf222e; font-weight: bold; }}
</style>
<h1>{name} in production</h1>
<table>
<tr><th>Day<th>Status<th>Version<th class="number">Predictions<th class="number">ROC AUC<th class="number">Drifted
<th>Found
{days}
</table>
</html>
"""


def publish_check(remote: str, folder: Path, day: str, found: Mapping[str, Any]) -> None:
    """Add a day.

    Args:
        remote: The repository's address.
        folder: What the check has left.
        day: Of the check.
        found: See `report.as_json`.

    Raises:
        UserError: Where the branch cannot be pushed.
    """
    with tempfile.TemporaryDirectory() as kept:
        branch = Branch(BRANCH, Path(kept), remote)
        branch.change(lambda commit, aside: _publish(branch, commit, aside, folder, {"day": day, **found}))


def _publish(branch: Branch, commit: str | None, aside: Path, folder: Path, found: Mapping[str, Any]) -> None:
    there = set(branch.paths(commit, ".")) if commit else set()
    before = json.loads(branch.read(commit, _HISTORY)) if commit and _HISTORY in there else []
    days = sorted([*(one for one in before if one["day"] != found["day"]), found], key=lambda one: str(one["day"]))
    files = {f"{found['day']}{path.suffix}": path for path in folder.iterdir() if path.suffix in {".html", ".parquet"}}
    pages = sorted({path for path in {*there, *files} if path.endswith(".html") and path != _INDEX})
    kept = pages[-_KEPT_PAGES:]
    for name, text in ((_HISTORY, json.dumps(days)), (_INDEX, _index(days, kept))):
        files[name] = aside / name
        files[name].write_text(text, encoding="utf-8")
    branch.replace(commit, files, f"The check of {found['day']}", [path for path in pages if path not in kept])


def _index(days: Sequence[Mapping[str, Any]], pages: Sequence[str]) -> str:
    return _PAGE.format(name=html.escape(contract.NAME), days="\n".join(_row(one, pages) for one in reversed(days)))


def _row(one: Mapping[str, Any], pages: Sequence[str]) -> str:
    return "".join(["<tr>", *_cells(one, pages)])


def _cells(one: Mapping[str, Any], pages: Sequence[str]) -> Iterator[str]:
    page, status = f"{one['day']}.html", one["status"]
    auc = ((one["performance"] or {}).get("metrics") or {}).get("roc_auc")
    yield f'<td><a href="{page}">{one["day"]}</a>' if page in pages else f"<td>{one['day']}"
    yield f'<td class="{status}">{status}'
    yield f"<td>{html.escape(one['version'])}"
    yield f'<td class="number">{one["rows"]:,}'
    yield f'<td class="number">{auc["value"]:.3f}' if auc else '<td class="number">-'
    yield f'<td class="number">{one["drifted_importance"]:.0%}'
    said = (f"<b>{html.escape(found['subject'])}</b> {html.escape(found['evidence'])}" for found in one["findings"])
    yield f"<td>{'<br>'.join(said)}"
