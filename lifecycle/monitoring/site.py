"""The pages of checks on the branch `gh-pages` for GitHub Pages, with an index over time."""

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
# A page of plots takes half a megabyte, so only the newest are kept; days in the index and their counts take little.
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
<th>Findings
{days}
</table>
</html>
"""


def publish_check(remote: str, folder: Path, day: str, check: Mapping[str, Any]) -> None:
    """Add the check of a day to the branch.

    Args:
        remote: URL of the repository.
        folder: Directory with the files of the check.
        day: Day of the check, as YYYY-MM-DD.
        check: Result of the check, as `check_report.as_json` returns it.

    Raises:
        UserError: If the branch cannot be pushed.
    """
    with tempfile.TemporaryDirectory() as kept:
        branch = Branch(BRANCH, Path(kept), remote)
        branch.change(lambda commit, aside: _publish(branch, commit, aside, folder, {"day": day, **check}))


def _publish(branch: Branch, commit: str | None, aside: Path, folder: Path, check: Mapping[str, Any]) -> None:
    published = set(branch.paths(commit, ".")) if commit else set()
    before = json.loads(branch.read(commit, _HISTORY)) if commit and _HISTORY in published else []
    days = sorted([*(old for old in before if old["day"] != check["day"]), check], key=lambda entry: str(entry["day"]))
    files = {f"{check['day']}{path.suffix}": path for path in folder.iterdir() if path.suffix in {".html", ".parquet"}}
    pages = sorted({path for path in {*published, *files} if path.endswith(".html") and path != _INDEX})
    kept = pages[-_KEPT_PAGES:]
    for name, text in ((_HISTORY, json.dumps(days)), (_INDEX, _index(days, kept))):
        files[name] = aside / name
        files[name].write_text(text, encoding="utf-8")
    branch.replace(commit, files, f"Add the check of {check['day']}", [path for path in pages if path not in kept])


def _index(days: Sequence[Mapping[str, Any]], pages: Sequence[str]) -> str:
    return _PAGE.format(name=html.escape(contract.NAME), days="\n".join(_row(check, pages) for check in reversed(days)))


def _row(check: Mapping[str, Any], pages: Sequence[str]) -> str:
    return "".join(["<tr>", *_cells(check, pages)])


def _cells(check: Mapping[str, Any], pages: Sequence[str]) -> Iterator[str]:
    page, status = f"{check['day']}.html", check["status"]
    auc = ((check["performance"] or {}).get("metrics") or {}).get("roc_auc")
    yield f'<td><a href="{page}">{check["day"]}</a>' if page in pages else f"<td>{check['day']}"
    yield f'<td class="{status}">{status}'
    yield f"<td>{html.escape(check['version'])}"
    yield f'<td class="number">{check["rows"]:,}'
    yield f'<td class="number">{auc["value"]:.3f}' if auc else '<td class="number">-'
    yield f'<td class="number">{check["drifted_importance"]:.0%}'
    findings = (
        f"<b>{html.escape(finding['subject'])}</b> {html.escape(finding['evidence'])}" for finding in check["findings"]
    )
    yield f"<td>{'<br>'.join(findings)}"
