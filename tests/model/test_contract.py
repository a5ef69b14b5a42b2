"""The contract is consistent, and window and holdout share no row."""

import msgspec
import pyarrow as pa

from lifecycle.release.smoke import examples
from lifecycle.serving.requests import Row
from lifecycle.shared.clusters import cluster_columns
from lifecycle.shared.params import Params
from lifecycle.shared.parts import read_part
from lifecycle.shared.schema import json_schema
from model import contract

INPUTS = [column.name for column in contract.INPUTS]


def test_names_are_unique() -> None:
    names = [*INPUTS, contract.TARGET.name]
    assert sorted(names) == sorted(set(names))


def test_identity_time_and_clusters_are_inputs() -> None:
    assert set(contract.IDENTITY) <= set(INPUTS)
    assert set(cluster_columns()) <= set(INPUTS)


def test_the_service_accepts_the_examples() -> None:
    for example in examples():
        msgspec.json.decode(msgspec.json.encode(example), type=Row)


def test_the_schema_survives_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(json_schema())) == json_schema()


def test_no_row_of_the_holdout_is_in_the_window(params: Params, parts: list[str]) -> None:
    identity = list(contract.IDENTITY)
    window, holdout = (
        pa.concat_tables([read_part(part).select(identity) for part in span.parts()])
        for span in (params.window, params.holdout)
    )
    assert set(parts) == {*params.window.parts(), *params.holdout.parts()}
    assert holdout.join(window, keys=identity, join_type="inner").num_rows == 0
