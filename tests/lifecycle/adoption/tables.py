"""Tables of four kinds, as a team would have them: with odd names, missing values and columns of no use."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

ROWS = 1_500
Random = np.random.Generator


def churn(random: Random) -> pd.DataFrame:
    """Binary by time: ten months of customers, with a number, a constant and names that no contract accepts."""
    since = pd.Timestamp("2030-01-01") + pd.to_timedelta(np.sort(random.integers(0, 300 * 86_400, ROWS)), unit="s")
    score, plan = random.normal(size=ROWS), random.choice(["basic", "pro", 'Ünï, "quoted"'], ROWS, p=[0.6, 0.3, 0.1])
    odds = np.exp(score + (plan == "pro") + (since.hour > 12) - 1)
    return pd.DataFrame(
        {
            "id": np.arange(ROWS) + 1_000_000,
            "Signed Up": since,
            "plan": plan,
            "Age (years)": random.integers(18, 90, ROWS),
            "score": score,
            "active": np.where(random.random(ROWS) < 0.5, "y", "n"),
            "constant": 1,
            "churned": random.random(ROWS) < odds / (1 + odds),
        }
    )


def leads(random: Random) -> pd.DataFrame:
    """Binary by row with missing values: texts that hold percentages and dates, a column without any value."""
    time, kind = random.normal(size=ROWS), random.choice([*"abcd"], ROWS)
    days = pd.to_datetime(random.integers(22_000, 23_000, ROWS), unit="D")
    return pd.DataFrame(
        {
            "class": kind,
            "time": time,
            "sales": np.where(random.random(ROWS) < 0.2, np.nan, random.gamma(2, 100, ROWS)),
            "opened": pd.Series(random.random(ROWS) < 0.5, dtype=object).where(random.random(ROWS) < 0.9),
            "price": [f"{value:.2f}".replace(".", ",") if value > 30 else "n/a" for value in random.random(ROWS) * 900],
            "rate": [f"{value:.1f}%" for value in random.random(ROWS) * 100],
            "empty": None,
            "first seen": days.strftime("%m/%d/%Y"),
            "label": (time + (kind == "a") + random.normal(size=ROWS)) > 0.3,
        }
    )


def visits(random: Random) -> pd.DataFrame:
    """Regression by group: several rows of each customer."""
    customer, habit = random.integers(0, 150, ROWS), random.normal(size=150)
    x = random.normal(size=ROWS)
    count = np.exp(habit[customer] * 0.3 + 0.5 * x + random.normal(size=ROWS) * 0.3) * 1_000
    return pd.DataFrame(
        {
            "customer": [f"C{number:03}" for number in customer],
            "x": x,
            "region": random.choice(["north", "south"], ROWS),
            "orders": random.integers(0, 10, ROWS),
            "visits": count,
        }
    )


def species(random: Random) -> pd.DataFrame:
    """Multiclass by row, with a rare class."""
    x = random.normal(size=ROWS)
    names = np.array(["setosa", "versi color", "virginica", "it's rare"])
    return pd.DataFrame(
        {
            "x": x,
            "z": random.normal(size=ROWS),
            "leaf": random.choice(["round", "sharp"], ROWS),
            "species": names[np.digitize(x + random.normal(size=ROWS) * 0.5, [-0.8, 0.5, 2.3])],
        }
    )


TABLES: dict[str, Callable[[Random], pd.DataFrame]] = {
    "churn.csv": churn,
    "leads.csv": leads,
    "visits.parquet": visits,
    "species.csv": species,
}


def write_table(name: str, folder: Path) -> Path:
    """Write a table to a directory."""
    table = TABLES[name](np.random.default_rng(7))
    path = folder / name
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    return path
