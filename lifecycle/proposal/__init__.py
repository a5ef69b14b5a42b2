"""Proposals: compare a candidate with the champion on the same rows, apply the gates, and report."""

from pathlib import Path

# Files that `make propose` writes.
OUTPUT = Path("artifacts/proposal")
REPORT, COMPARED, PLOTS = OUTPUT / "report.md", OUTPUT / "compared.json", OUTPUT / "plots.html"
