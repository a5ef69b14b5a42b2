"""Measure the service beside others with the same model, and write benchmarks/serving.md.

Each round starts every server once, warms it and loads it, one at a time, with one worker each and single-row JSON
requests. What is quoted are the medians of the rounds, and of the rounds' ratios. Needs wrk and a trained model.
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
PATIENCE = 90  # seconds
OK = 200
EXAMPLE = {column.name: column.example for column in contract.INPUTS}

TEMPLATE = """\
# The service, measured

Written by `make -C benchmarks serving` on {cores} cores, Python {python}: {connections} connections of wrk on the
same cores, requests of a single row, one worker each, the same model. Medians of {rounds} rounds in which the servers
took turns; a ratio is the median of the rounds' ratios.

| server | requests/s | p50 ms | p99 ms | ready after s |
| --- | ---: | ---: | ---: | ---: |
{servers}

| the service against | requests/s, ratio | target | p99, ratio | target |
| --- | ---: | ---: | ---: | ---: |
{ratios}

The prediction log and the counters by feature cost {cost:.0%} of the throughput; target: at most 15%.

Requests that arrive together are scored together, which is why the service comes near a server that does not even look
at its requests. Client, worker and the process that drains the prediction log are three that want a core, and here are
two: the 99th percentile is about how long one of them waits for its turn.
"""


@dataclass
class Server:
    """A way to serve the model, and what was measured of it, by round."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    path: str = "/predict"
    body: object = field(default_factory=lambda: EXAMPLE)
    health: str = "/readyz"
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
    """A server that answers: its URL, the seconds that took, and its process."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    state = tempfile.mkdtemp(dir=folder)
    own = {"STATE_FOLDER": state, "BENTOML_HOME": state, "BENTOML_DO_NOT_TRACK": "true"}
    environment = os.environ | own | server.environment
    since = time.perf_counter()
    with subprocess.Popen(
        [part.format(port=port) for part in server.command],
        cwd=ROOT,
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
                    if process.poll() is not None or time.perf_counter() - since > PATIENCE:
                        sys.exit(f"error: {server.name} does not start: {' '.join(server.command)}")
                    time.sleep(0.02)
            yield url, time.perf_counter() - since, process
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def wrk(url: str, body: object, folder: Path, seconds: int) -> tuple[float, float, float]:
    """Load a URL: requests per second, median and 99th percentile of the latency in ms."""
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
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        sys.exit(f"error: requests to {url} fail:\n{said}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]

    def percentile(which: str) -> float:
        number, unit = re.search(rf"{which}%\s+([\d.]+)(us|ms|s)", said).groups()  # type: ignore[union-attr]
        return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]

    return rate, percentile("50"), percentile("99")


def fit(path: Path) -> None:
    """Fit the estimator that the model folder was exported from, and keep it as the blog would."""
    params = load_params()
    table = pq.read_table(stage.PREPARED / "train.parquet")
    matrix = np.column_stack([table.column(name).to_numpy() for name in NAMES]).astype(np.float32)
    pipeline = params.build_estimator().fit(matrix, table.column(contract.TARGET).to_numpy())
    codes = json.loads((stage.PREPARED / "codes.json").read_text(encoding="utf-8"))
    joblib.dump({"pipeline": pipeline, "codes": codes}, path)


def servers(folder: Path) -> list[Server]:
    """The service, as it is and in two other ways, and its rivals."""
    model = {"MODEL_FOLDER": str(stage.MODEL.resolve())}
    bentoml = [sys.executable, "-m", "bentoml", "serve", "--port", "{port}"]
    service = "lifecycle.serving.service:ModelService"
    uvicorn = [rivals_python(), "-m", "uvicorn", "--port", "{port}", "--no-access-log"]
    granian = [rivals_python(), "-m", "granian", "--interface", "asgi"]
    last = json.loads(Path(".mlflow/last.json").read_text(encoding="utf-8"))
    tracked = f"runs:/{last['run']}/model"
    return [
        Server("this service", [*bentoml, service]),
        Server("… by BentoML's public way only", [*bentoml, service], {"FAST_ROUTE": "false"}),
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


# Against whom, by how much at least in requests per second, and how much of its p99 at most.
TARGETS = {
    "FastAPI + scikit-learn + pandas": (40.0, 0.05),
    "`mlflow models serve`": (60.0, None),
    "FastAPI + ONNX": (1.2, None),
    "raw ASGI + ONNX under granian": (0.8, None),
}


def ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fit(folder / "pipeline.joblib")
        measured = servers(folder)
        for _ in tqdm(range(ROUNDS), "rounds"):
            for server in tqdm(measured, leave=False):
                with started(server, folder) as (url, seconds, _):
                    wrk(url + server.path, server.body, folder, 2)
                    rate, median, p99 = wrk(url + server.path, server.body, folder, SECONDS)
                server.rates.append(rate)
                server.medians.append(median)
                server.p99s.append(p99)
                server.starts.append(seconds)
    service, _, forgetful, *_ = measured
    rivals = {server.name: server for server in measured}
    lines = [
        f"| {s.name} | {statistics.median(s.rates):,.0f} | {statistics.median(s.medians):.2f} "
        f"| {statistics.median(s.p99s):.1f} | {statistics.median(s.starts):.1f} |"
        for s in measured
    ]
    ratios = [
        f"| {name} | {ratio(service.rates, rivals[name].rates):.2f} | {faster:g} "
        f"| {ratio(service.p99s, rivals[name].p99s):.3f} | {'' if quicker is None else f'{quicker:g}'} |"
        for name, (faster, quicker) in TARGETS.items()
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
