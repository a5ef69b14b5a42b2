from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.proposal.champion import NoChampionError
from model.proposal.holdout import unseen, window_files


def test_rows_are_known_by_their_identity(small: Path, tmp_path: Path) -> None:
    """What either model was trained on is left out, in whatever order and with whatever else corrected."""
    march = pq.read_table(small / "2013-03.parquet")
    shuffled = march.take(pa.array(np.random.default_rng(0).permutation(1_000)))
    distance = pa.array(np.ones(1_000))
    corrected = shuffled.set_column(march.column_names.index("distance"), "distance", distance)
    pq.write_table(corrected, tmp_path / "champion.parquet")
    pq.write_table(march.slice(2_500), tmp_path / "candidate.parquet")
    found = unseen(small / "2013-03.parquet", [tmp_path / "candidate.parquet"], [tmp_path / "champion.parquet"])
    assert found.rows.tolist() == list(range(1_000, 2_500))
    assert (found.excluded_champion, found.excluded_candidate) == (1_000, 500)


def test_months_apart_have_no_row_in_common(small: Path) -> None:
    earlier = window_files(small, "2013-01", "2013-02")
    assert [path.name for path in earlier] == ["2013-01.parquet", "2013-02.parquet"]
    found = unseen(small / "2013-03.parquet", earlier, earlier)
    assert len(found.rows) == 3_000
    assert (found.excluded_champion, found.excluded_candidate) == (0, 0)


def test_all_rows_seen(small: Path) -> None:
    found = unseen(small / "2013-03.parquet", [], [small / "2013-03.parquet"])
    assert found.rows.tolist() == []
    assert found.excluded_champion == 3_000


def test_champion_without_such_columns(small: Path, tmp_path: Path) -> None:
    table = pq.read_table(small / "2013-02.parquet")
    pq.write_table(table.drop_columns("flight_number"), tmp_path / "2013-02.parquet")
    with pytest.raises(NoChampionError, match=r"2013-02\.parquet cannot be told apart by scheduled_departure"):
        unseen(small / "2013-03.parquet", [], [tmp_path / "2013-02.parquet"])
