"""Measure the service and other servers of the same model, and write benchmarks/serving.md.

Each round starts every server once, warms it up and loads it, one at a time, with one worker and single-row JSON
requests. The page shows medians over the rounds, also for ratios. Needs wrk and a trained model.
"""

import json
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import joblib
import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from benchmarks.rivals import rivals_python
from lifecycle.pipeline import stage
from lifecycle.shared.params import load_params
from model import contract
from model.features import NAMES

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "benchmarks/serving.md"
ROUNDS = 5
CONNECTIONS = 8
SECONDS = 5
START_TIMEOUT = 90  # seconds
OK = 200
EXAMPLE = {column.name: column.example for column in contract.INPUTS}

TEMPLATE = """\
# The service, measured

Written by `make -C benchmarks serving` on {cores} cores, Python {python}: {connections} connections of wrk on the
same cores, single-row requests, one worker for each server, the same model. Medians of {rounds} rounds in which the
servers took turns; a ratio is the median over the rounds.

| server | requests/s | p50 ms | p99 ms | ready after s |
| --- | ---: | ---: | ---: | ---: |
{servers}

| the service compared with | requests/s, ratio | target | p99, ratio | target |
| --- | ---: | ---: | ---: | ---: |
{ratios}

The prediction log and the feature counters cost {cost:.0%} of the throughput (target: at most 15%).

The service scores requests that arrive together as one batch; so its throughput comes near that of a server that does
not even validate its requests. The client, the worker and the process that drains the prediction log compete for
{cores} cores, and the 99th percentile mostly shows how long one of them waits for a core.
"""


@dataclass
class Server:
    """A server of the model, with the measurements of each round."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    path: str = "/predict"
    body: object = field(default_factory=lambda: EXAMPLE)
    health: str = "/readyz"
    folder: Path = ROOT  # the directory that it runs in
    rates: list[float] = field(default_factory=list)
    medians: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(server: Server, folder: Path) -> Iterator[tuple[str, float, "subprocess.Popen[bytes]"]]:
    """Start a server; yield its URL, the seconds until it answered, and its process."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    state = tempfile.mkdtemp(dir=folder)
    own = {"STATE_FOLDER": state, "BENTOML_HOME": state, "BENTOML_DO_NOT_TRACK": "true"}
    environment = os.environ | own | server.environment
    since = time.perf_counter()
    with subprocess.Popen(
        [part.format(port=port) for part in server.command],
        cwd=server.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            while True:
                try:
                    if httpx.get(url + server.health, timeout=5).status_code == OK:
                        break
                except httpx.TransportError:
                    if process.poll() is not None or time.perf_counter() - since > START_TIMEOUT:
                        sys.exit(f"error: {server.name} does not start: {' '.join(server.command)}")
                    time.sleep(0.02)
            yield url, time.perf_counter() - since, process
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def wrk(url: str, body: object, folder: Path, seconds: int) -> tuple[float, float, float]:
    """Load a URL; return requests per second, and median and 99th percentile of the latency in ms."""
    script = folder / "post.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = [[{json.dumps(body)}]]\nwrk.headers["Content-Type"] = "application/json"\n',
        encoding="utf-8",
    )
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "--timeout",
        "10s",
        "--latency",
        "-s",
        str(script),
        url,
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(f"error: requests to {url} fail:\n{output}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])  # type: ignore[index]

    def percentile(rank: str) -> float:
        number, unit = re.search(rf"{rank}%\s+([\d.]+)(us|ms|s)", output).groups()  # type: ignore[union-attr]
        return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]

    return rate, percentile("50"), percentile("99")


def fit(path: Path) -> None:
    """Fit the estimator of the model folder, and pickle it with its codes for the scikit-learn rival."""
    params = load_params()
    table = pq.read_table(stage.PREPARED / "train.parquet")
    matrix = np.column_stack([table.column(name).to_numpy() for name in NAMES]).astype(np.float32)
    pipeline = params.build_estimator().fit(matrix, table.column(contract.TARGET.name).to_numpy())
    codes = json.loads((stage.PREPARED / "codes.json").read_text(encoding="utf-8"))
    joblib.dump({"pipeline": pipeline, "codes": codes}, path)


def servers(folder: Path) -> list[Server]:
    """Return the service, two variants of it, and its rivals."""
    model = {"MODEL_FOLDER": str(stage.MODEL.resolve())}
    bentoml = [sys.executable, "-m", "bentoml", "serve", "--port", "{port}"]
    service = "lifecycle.serving.service:ModelService"
    uvicorn = [rivals_python(), "-m", "uvicorn", "--port", "{port}", "--no-access-log"]
    granian = [rivals_python(), "-m", "granian", "--interface", "asgi"]
    last = json.loads(Path(".mlflow/last.json").read_text(encoding="utf-8"))
    tracked = f"runs:/{last['run']}/model"
    return [
        Server("this service", [*bentoml, service]),
        Server("… without the fast route", [*bentoml, service], {"FAST_ROUTE": "false"}),
        Server("… without log and counters", [*bentoml, "benchmarks.forgetful:ModelService"]),
        Server(
            "FastAPI + scikit-learn + pandas",
            [*uvicorn, "benchmarks.rivals.fastapi_sklearn:app"],
            {"PIPELINE": str(folder / "pipeline.joblib")},
        ),
        Server(
            "`mlflow models serve`",
            ["mlflow", "models", "serve", "--model-uri", tracked, "--env-manager", "local", "--port", "{port}"],
            {"MLFLOW_TRACKING_URI": last["uri"]},
            path="/invocations",
            body={"dataframe_records": [EXAMPLE]},
            health="/health",
        ),
        Server("FastAPI + ONNX", [*uvicorn, "benchmarks.rivals.fastapi_onnx:app"], model),
        Server(
            "raw ASGI + ONNX under granian",
            [*granian, "--port", "{port}", "benchmarks.rivals.raw_asgi:app"],
            model,
        ),
    ]


# For each rival the smallest ratio of requests per second and the largest ratio of the 99th percentiles.
TARGETS = {
    "FastAPI + scikit-learn + pandas": (40.0, 0.05),
    "`mlflow models serve`": (60.0, None),
    "FastAPI + ONNX": (1.2, None),
    "raw ASGI + ONNX under granian": (0.8, None),
}


def measure(server: Server, folder: Path) -> None:
    """Start a server, warm it up, load it, and add the measurements of the round."""
    with started(server, folder) as (url, seconds, _):
        wrk(url + server.path, server.body, folder, 2)
        rate, median, p99 = wrk(url + server.path, server.body, folder, SECONDS)
    server.rates.append(rate)
    server.medians.append(median)
    server.p99s.append(p99)
    server.starts.append(seconds)


def ratio(service: list[float], rival: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(service, rival, strict=True))


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fit(folder / "pipeline.joblib")
        measured = servers(folder)
        for _ in tqdm(range(ROUNDS), "rounds"):
            for server in tqdm(measured, leave=False):
                measure(server, folder)
    service, _, forgetful, *_ = measured
    rivals = {server.name: server for server in measured}
    lines = [
        f"| {s.name} | {statistics.median(s.rates):,.0f} | {statistics.median(s.medians):.2f} "
        f"| {statistics.median(s.p99s):.1f} | {statistics.median(s.starts):.1f} |"
        for s in measured
    ]
    ratios = [
        f"| {name} | {ratio(service.rates, rivals[name].rates):.2f} | {least_rate:g} "
        f"| {ratio(service.p99s, rivals[name].p99s):.3f} | {'' if largest_p99 is None else f'{largest_p99:g}'} |"
        for name, (least_rate, largest_p99) in TARGETS.items()
    ]
    text = TEMPLATE.format(
        cores=os.cpu_count(),
        python=platform.python_version(),
        connections=CONNECTIONS,
        rounds=ROUNDS,
        servers="\n".join(lines),
        ratios="\n".join(ratios),
        cost=1 - ratio(service.rates, forgetful.rates),
    )
    REPORT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
