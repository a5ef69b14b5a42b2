"""Scores the rows of requests: those that arrive together, together.

A row by itself costs the same some 20 µs of calls as a dozen do. What requests bring within one turn of the event loop
is one batch; none waits for others to come.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.serving.requests import rows_to_columns
from lifecycle.serving.telemetry import Telemetry
from lifecycle.shared.predictor import Predictor

# More rows are scored in a thread, so that they do not hold up the others.
_IN_THREAD = 50

_Waiting = tuple[Sequence[Any], asyncio.Future[list[float]]]


class Scorer:
    """Turns rows into probabilities."""

    def __init__(self, predictor: Predictor, telemetry: Telemetry) -> None:
        """Score with a model, and tell the telemetry of all that is scored."""
        self._predictor, self._telemetry = predictor, telemetry
        self._waiting: list[_Waiting] = []

    async def probabilities(self, rows: Sequence[Any]) -> list[float]:
        """The probability of the target for each row."""
        if len(rows) > _IN_THREAD:
            matrix, found = await asyncio.to_thread(self._score, rows)
            self._telemetry.scored(matrix, found)
            probabilities: list[float] = found.tolist()
            return probabilities
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._score_waiting)
        future: asyncio.Future[list[float]] = loop.create_future()
        self._waiting.append((rows, future))
        return await future

    async def uncounted(self, rows: Sequence[Any]) -> list[float]:
        """The same, without a trace in the telemetry."""
        _, found = await asyncio.to_thread(self._score, rows)
        probabilities: list[float] = found.tolist()
        return probabilities

    def _score(self, rows: Sequence[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        matrix = self._predictor.features(rows_to_columns(rows))
        return matrix, self._predictor.score(matrix)

    def _score_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            self._score_batch(waiting)
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)

    def _score_batch(self, waiting: list[_Waiting]) -> None:
        matrix, found = self._score([row for rows, _ in waiting for row in rows])
        self._telemetry.scored(matrix, found)
        probabilities, start = found.tolist(), 0
        for rows, future in waiting:
            if not future.done():  # the client may have gone
                future.set_result(probabilities[start : start + len(rows)])
            start += len(rows)
