"""Prometheus metrics and the access log, aggregated in a separate thread, outside of the request path."""

import contextlib
import operator
import sys
import threading
from collections import Counter as CountOf
from collections import defaultdict, deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import prometheus_client
from numpy.typing import NDArray

from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.histograms import count_values, histograms_of, shares
from lifecycle.shared.tasks.task import Predictions

INTERVAL = 0.1  # seconds between two aggregations
# Limit of requests in memory: the oldest are dropped if nobody reads the access log. An interval never has as many, so
# that counters lose nothing.
_KEPT = 100_000

_ENCODER = msgspec.json.Encoder()
_KIND = operator.attrgetter("method", "route", "status")
_LATENCIES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Request(msgspec.Struct, gc=False, tag_field="event", tag="request"):
    """An answered request, as a line of the access log, without any input value."""

    time: datetime
    method: str
    route: str
    status: int
    milliseconds: float
    rows: int
    client: str
    request_id: str


class _Histogram(prometheus_client.Histogram):
    """A histogram that takes many observations at once, which is much faster than one by one."""

    def observe_all(self, values: NDArray[np.floating[Any]]) -> None:
        buckets = np.searchsorted(self._upper_bounds, values, side="left")
        for bucket, count in enumerate(np.bincount(buckets).tolist()):
            if count:
                self._buckets[bucket].inc(count)
        self._sum.inc(float(values.sum()))


class Telemetry:
    """Counters of requests, rows, predictions and features for Prometheus, and the access log."""

    def __init__(self, metadata: Mapping[str, Any], version: str, commit: str) -> None:
        """Create the metrics.

        Args:
            metadata: Metadata of the model directory.
            version: Version of the model.
            commit: Commit that the model was trained from.
        """
        histograms = histograms_of(metadata)
        self._bins = {name: histogram.bins for name, histogram in histograms.items()}
        self._codes = metadata["codes"]
        self._requests: deque[Request] = deque(maxlen=_KEPT)
        self._scored: deque[tuple[NDArray[np.float32], Predictions]] = deque(maxlen=_KEPT)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        # Each instance has its own registry. The values of all workers are in the directory PROMETHEUS_MULTIPROC_DIR.
        own: dict[str, Any] = {"registry": prometheus_client.CollectorRegistry()}
        self._request_total = prometheus_client.Counter(
            "model_requests", "Requests answered.", ["method", "route", "status"], **own
        )
        self._seconds = _Histogram(
            "model_request_seconds", "Time to answer a request.", ["route"], buckets=_LATENCIES, **own
        )
        self._rows = prometheus_client.Counter("model_rows", "Rows predicted.", **own)
        self._observed = _Histogram(
            "model_prediction", TASK.observed_in_words, buckets=TASK.observed_edges(metadata["target"]), **own
        )
        self._inputs = prometheus_client.Counter(
            "model_feature",
            "Rows by feature and bin; the bins are those of the training data.",
            ["feature", "bin"],
            **own,
        )
        expected = prometheus_client.Gauge(
            "model_feature_expected_share",
            "Share of the rows of the training data by feature and bin.",
            ["feature", "bin"],
            multiprocess_mode="livemax",
            **own,
        )
        # Looked up once, not for each count. They start at 0, so that Prometheus sees the first rows as an increase.
        self._series: dict[str, list[prometheus_client.Counter]] = {}
        for name, histogram in histograms.items():
            names = histogram.bins.names()
            self._series[name] = [self._inputs.labels(name, label) for label in names]
            for label, share in zip(names, shares(histogram.counts).tolist(), strict=True):
                expected.labels(name, label).set(share)
        prometheus_client.Gauge(
            "model_info", "The model that is served.", ["version", "commit"], multiprocess_mode="livemax", **own
        ).labels(version, commit).set(1)

    def request(self, request: Request) -> None:
        """Record an answered request."""
        self._requests.append(request)

    def scored(self, matrix: NDArray[np.float32], predictions: Predictions) -> None:
        """Record predicted rows: their features and predictions."""
        self._scored.append((matrix, predictions))

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Process the remaining requests and stop the thread."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(INTERVAL):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        self._count_scored(_pop_all(self._scored))
        requests = _pop_all(self._requests)
        if not requests:
            return
        for (method, route, status), count in CountOf(map(_KIND, requests)).items():
            self._request_total.labels(method, route, status).inc(count)
        milliseconds: dict[str, list[float]] = defaultdict(list)
        for request in requests:
            milliseconds[request.route].append(request.milliseconds)
        for route, values in milliseconds.items():
            self._seconds.labels(route).observe_all(np.array(values) / 1000)
        with contextlib.suppress(OSError):  # the reader of the log has closed it; counting goes on
            sys.stdout.buffer.write(_ENCODER.encode_lines(requests))
            sys.stdout.buffer.flush()

    def _count_scored(self, scored: list[tuple[NDArray[np.float32], Predictions]]) -> None:
        if not scored:
            return
        matrix = np.concatenate([matrix for matrix, _ in scored])
        self._rows.inc(len(matrix))
        self._observed.observe_all(TASK.observed(np.concatenate([predictions for _, predictions in scored])))
        for values, (name, bins) in zip(matrix.T, self._bins.items(), strict=True):
            counts = count_values(values, bins, self._codes.get(name))
            for series, count in zip(self._series[name], counts.tolist(), strict=True):
                if count:
                    series.inc(count)


def _pop_all(queue: deque[Any]) -> list[Any]:
    """Remove and return the items of a queue; items appended meanwhile stay for the next call."""
    return [queue.popleft() for _ in range(len(queue))]
