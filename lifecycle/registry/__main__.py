"""The commands behind `make registry`, a table of the versions, and `make history`, a table of the champions."""

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
    """Print the table or open the pages that the argument names."""
    view = sys.argv[1] if len(sys.argv) > 1 else "versions"
    if view == "ui":
        _open_pages()
    with existing() as registry:
        for line in _columns(_history(registry) if view == "history" else _versions(registry)):
            print(line)


def _versions(registry: Registry) -> list[list[str]]:
    champion = registry.champion()
    lines = [
        ["version", "", "registered", "commit", "pull request", "author", "trained on", "ROC AUC", "against", "image"]
    ]
    newest = registry.newest(_SHOWN)
    if champion and champion.number not in {version.number for version in newest}:
        newest.append(champion)
    for version in newest:
        auc = version.structured("metrics").get("roc_auc", {}).get("value")
        lines.append(
            [
                str(version.number),
                "champion" if champion and version.number == champion.number else "",
                f"{version.created:%Y-%m-%d %H:%M}",
                version.commit[:12],
                f"#{version.tags['pull_request']}" if version.tags.get("pull_request") else "-",
                version.tags.get("author", "-"),
                version.tags.get("window", "-"),
                "-" if auc is None else f"{auc:.4f}",
                _worst_verdict(version),
                version.tags.get("image", "").rpartition("@")[2][:19] or "-",
            ]
        )
    return lines


def _worst_verdict(version: Version) -> str:
    """Return the worst verdict of its metrics against the champion before it; a dash if it was not compared."""
    metrics = version.structured("compared").get("metrics", {})
    verdicts = {comparison["verdict"] for comparison in metrics.values()}
    return next((verdict for verdict in ("worse", "unclear", "better", "no worse") if verdict in verdicts), "-")


def _history(registry: Registry) -> list[list[str]]:
    promotions = registry.history()
    lines = [["version", "from", "to", "by", "why"]]
    for promotion, successor in [*pairwise(promotions), *((last, None) for last in promotions[-1:])]:
        until = f"{successor.at:%Y-%m-%d %H:%M}" if successor else "now"
        lines.append([str(promotion.number), f"{promotion.at:%Y-%m-%d %H:%M}", until, promotion.who, promotion.why])
    return lines


def _columns(lines: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _open_pages() -> None:
    """Serve MLflow's pages of the registry, until interrupted."""
    server = os.environ.get("MLFLOW_TRACKING_URI")
    if server:
        raise UserError(f"the registry is on a server: open {server}")
    show(export(_FOLDER), f"/#/models/{contract.NAME}")


if __name__ == "__main__":
    console.run_main(main)
