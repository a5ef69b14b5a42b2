"""A proposed model beside the champion: compared on the same rows, gated, reported."""

from pathlib import Path

# What `make propose` leaves behind.
OUTPUT = Path("artifacts/proposal")
REPORT, COMPARED, PLOTS = OUTPUT / "report.md", OUTPUT / "compared.json", OUTPUT / "plots.html"
