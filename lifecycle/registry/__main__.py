"""The registry as tables: `make registry`, and `make history`: who was champion from when to when, and why."""

import os
import sys
from itertools import pairwise
from pathlib import Path

from lifecycle.pipeline.track import show
from lifecycle.registry.store import existing, export
from lifecycle.registry.versions import Registry, Version
from lifecycle.shared import console
from lifecycle.shared.console import UserError
from model import contract

_SHOWN = 20
_FOLDER = Path(".registry/pages")


def main() -> None:
    """Show what is asked for."""
    asked = sys.argv[1] if len(sys.argv) > 1 else "versions"
    if asked == "ui":
        _open_pages()
    with existing() as registry:
        for line in _columns(_history(registry) if asked == "history" else _versions(registry)):
            print(line)


def _versions(registry: Registry) -> list[list[str]]:
    champion = registry.champion()
    lines = [
        ["version", "", "registered", "commit", "pull request", "author", "trained on", "ROC AUC", "against", "image"]
    ]
    newest = registry.newest(_SHOWN)
    if champion and champion.number not in {one.number for one in newest}:
        newest.append(champion)
    for one in newest:
        auc = one.structured("metrics").get("roc_auc", {}).get("value")
        lines.append(
            [
                str(one.number),
                "champion" if champion and one.number == champion.number else "",
                f"{one.created:%Y-%m-%d %H:%M}",
                one.commit[:12],
                f"#{one.tags['pull_request']}" if one.tags.get("pull_request") else "-",
                one.tags.get("author", "-"),
                one.tags.get("window", "-"),
                "-" if auc is None else f"{auc:.4f}",
                _against(one),
                one.tags.get("image", "").rpartition("@")[2][:19] or "-",
            ]
        )
    return lines


def _against(version: Version) -> str:
    """In a word, how it was judged against the champion before it."""
    metrics = version.structured("compared").get("metrics", {})
    verdicts = {found["verdict"] for found in metrics.values()}
    return next((verdict for verdict in ("worse", "unclear", "better", "no worse") if verdict in verdicts), "-")


def _history(registry: Registry) -> list[list[str]]:
    past = registry.history()
    lines = [["version", "from", "to", "by", "why"]]
    for one, following in [*pairwise(past), *((last, None) for last in past[-1:])]:
        until = f"{following.at:%Y-%m-%d %H:%M}" if following else "now"
        lines.append([str(one.number), f"{one.at:%Y-%m-%d %H:%M}", until, one.who, one.why])
    return lines


def _columns(lines: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _open_pages() -> None:
    """Serve MLflow's pages of it, until interrupted."""
    server = os.environ.get("MLFLOW_TRACKING_URI")
    if server:
        raise UserError(f"the registry is on a server: {server}")
    show(export(_FOLDER), f"/#/models/{contract.NAME}")


if __name__ == "__main__":
    console.run_main(main)
