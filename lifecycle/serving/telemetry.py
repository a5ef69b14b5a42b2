"""What the service counts and says of its requests, aggregated in a thread of its own, off the request path."""

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

from lifecycle.shared.columns import Codes
from lifecycle.shared.histograms import Histogram, count_values, shares

INTERVAL = 0.1  # seconds
# Where nobody reads the log, the oldest lines go; counters lose nothing at this rate of aggregation.
_KEPT = 100_000

_ENCODER = msgspec.json.Encoder()
_KIND = operator.attrgetter("method", "route", "status")
_LATENCIES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_PROBABILITIES = tuple(round(tenth / 10, 1) for tenth in range(1, 11))


class Request(msgspec.Struct, gc=False, tag_field="event", tag="request"):
    """An answered request, as the access log tells it: without any input value."""

    time: datetime
    method: str
    route: str
    status: int
    milliseconds: float
    rows: int
    client: str
    request_id: str


class _Histogram(prometheus_client.Histogram):
    """Takes many observations at once. One by one, as the library's own does, they would be most of the work here."""

    def observe_all(self, values: NDArray[np.floating[Any]]) -> None:
        numbers = np.searchsorted(self._upper_bounds, values, side="left")
        for number, rows in enumerate(np.bincount(numbers).tolist()):
            if rows:
                self._buckets[number].inc(rows)
        self._sum.inc(float(values.sum()))


class Telemetry:
    """Counts requests, rows, probabilities and inputs for Prometheus, and writes the access log."""

    def __init__(self, histograms: Mapping[str, Histogram], codes: Codes, version: str, commit: str) -> None:
        """Start with nothing counted.

        Args:
            histograms: Of each feature, in the training data.
            codes: Of the categories among the features.
            version: Of the model.
            commit: It was trained from.
        """
        self._bins = {name: histogram.bins for name, histogram in histograms.items()}
        self._codes = codes
        self._requests: deque[Request] = deque(maxlen=_KEPT)
        self._scored: deque[tuple[NDArray[np.float32], NDArray[np.float32]]] = deque(maxlen=_KEPT)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        # A registry of this instance's own: the workers' common one is the folder of PROMETHEUS_MULTIPROC_DIR.
        own: dict[str, Any] = {"registry": prometheus_client.CollectorRegistry()}
        self._request_total = prometheus_client.Counter(
            "model_requests", "Requests answered.", ["method", "route", "status"], **own
        )
        self._seconds = _Histogram(
            "model_request_seconds", "Time to answer a request.", ["route"], buckets=_LATENCIES, **own
        )
        self._rows = prometheus_client.Counter("model_rows", "Rows predicted.", **own)
        self._probability = _Histogram("model_probability", "Predicted probabilities.", buckets=_PROBABILITIES, **own)
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
        # Looked up once, and not for each count. They start at 0, so that the first rows of a bin are an increase to
        # Prometheus.
        self._series: dict[str, list[prometheus_client.Counter]] = {}
        for name, histogram in histograms.items():
            names = histogram.bins.names()
            self._series[name] = [self._inputs.labels(name, label) for label in names]
            for label, share in zip(names, shares(histogram.counts).tolist(), strict=True):
                expected.labels(name, label).set(share)
        prometheus_client.Gauge(
            "model_info", "What is served.", ["version", "commit"], multiprocess_mode="livemax", **own
        ).labels(version, commit).set(1)

    def request(self, request: Request) -> None:
        """Take note of an answered request."""
        self._requests.append(request)

    def scored(self, matrix: NDArray[np.float32], probabilities: NDArray[np.float32]) -> None:
        """Take note of rows that were predicted."""
        self._scored.append((matrix, probabilities))

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Say and count what is left, and end the thread."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(INTERVAL):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        self._count_scored(_taken(self._scored))
        requests = _taken(self._requests)
        if not requests:
            return
        for (method, route, status), number in CountOf(map(_KIND, requests)).items():
            self._request_total.labels(method, route, status).inc(number)
        milliseconds: dict[str, list[float]] = defaultdict(list)
        for request in requests:
            milliseconds[request.route].append(request.milliseconds)
        for route, values in milliseconds.items():
            self._seconds.labels(route).observe_all(np.array(values) / 1000)
        with contextlib.suppress(OSError):  # whoever read the log has gone; the counting goes on
            sys.stdout.buffer.write(_ENCODER.encode_lines(requests))
            sys.stdout.buffer.flush()

    def _count_scored(self, scored: list[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> None:
        if not scored:
            return
        matrix = np.concatenate([matrix for matrix, _ in scored])
        self._rows.inc(len(matrix))
        self._probability.observe_all(np.concatenate([probabilities for _, probabilities in scored]))
        for values, (name, bins) in zip(matrix.T, self._bins.items(), strict=True):
            rows = count_values(values, bins, self._codes.get(name))
            for series, number in zip(self._series[name], rows.tolist(), strict=True):
                if number:
                    series.inc(number)


def _taken(queue: deque[Any]) -> list[Any]:
    """Everything that is in the queue; whoever appends meanwhile finds it next time."""
    return [queue.popleft() for _ in range(len(queue))]
