"""Score the rows of requests in batches.

Scoring takes about 20 µs of calls, for a single row as for a dozen. The rows that arrive within one iteration of the
event loop are one batch. No row waits for others to arrive.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.serving.requests import rows_to_columns
from lifecycle.serving.telemetry import Telemetry
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tasks.task import Predictions

# A request with more rows is scored in a thread, so that it does not block other requests.
_IN_THREAD = 50

_Waiting = tuple[Sequence[Any], asyncio.Future[list[Any]]]


class Scorer:
    """Predicts the target of rows."""

    def __init__(self, predictor: Predictor, telemetry: Telemetry) -> None:
        """Score with a model, and count the scored rows in the telemetry."""
        self._predictor, self._telemetry = predictor, telemetry
        self._waiting: list[_Waiting] = []

    async def predictions(self, rows: Sequence[Any]) -> list[Any]:
        """Return the prediction of each row: a number, or a list with the probability of each class."""
        if len(rows) > _IN_THREAD:
            matrix, scores = await asyncio.to_thread(self._score, rows)
            self._telemetry.scored(matrix, scores)
            return list(scores.tolist())
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._score_waiting)
        future: asyncio.Future[list[Any]] = loop.create_future()
        self._waiting.append((rows, future))
        return await future

    async def uncounted(self, rows: Sequence[Any]) -> list[Any]:
        """Return the prediction of each row, without counting the rows in the telemetry."""
        _, scores = await asyncio.to_thread(self._score, rows)
        return list(scores.tolist())

    def _score(self, rows: Sequence[Any]) -> tuple[NDArray[np.float32], Predictions]:
        matrix = self._predictor.features(rows_to_columns(rows))
        return matrix, self._predictor.score(matrix)

    def _score_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            self._score_batch(waiting)
        except Exception as error:  # noqa: BLE001 - raised in the requests that wait for it
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)

    def _score_batch(self, waiting: list[_Waiting]) -> None:
        matrix, scores = self._score([row for rows, _ in waiting for row in rows])
        self._telemetry.scored(matrix, scores)
        predictions, start = scores.tolist(), 0
        for rows, future in waiting:
            if not future.done():  # the client may have disconnected
                future.set_result(predictions[start : start + len(rows)])
            start += len(rows)
