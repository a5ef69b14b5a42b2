"""Load the service for ten minutes while its PostgreSQL is killed and stopped, and write benchmarks/soak.md.

Needs wrk, h2load and PostgreSQL. The page compares the requests that the client counts as acknowledged with the rows in
the database.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from tqdm import tqdm

from benchmarks.serving import CONNECTIONS, EXAMPLE, ROOT, Server, started, wrk
from lifecycle.prediction_log.database import PREDICTIONS, create_log_engine
from lifecycle.prediction_log.spool import waiting_bytes
from tests.lifecycle.serving.postgresql import Postgresql, postgresql_server

REPORT = ROOT / "benchmarks/soak.md"
SECONDS = 600
SHARE = 0.8  # of the capacity
INTERVAL = 5  # seconds between two samples
# Seconds after which PostgreSQL is killed and stopped, and how long it stays down.
KILLED, STOPPED, AWAY = 150, 330, 30
MIB = 2**20

TEMPLATE = """\
# The service under load for {minutes:.0f} minutes

Written by `make -C benchmarks soak` on {cores} cores, Python {python}. One worker, with PostgreSQL as its
prediction log; client, database and service share the cores. Capacity, measured with wrk just before:
{capacity:,.0f} single-row requests/s. Load: {rate:,.0f} requests/s, {share:.0%} of the capacity. PostgreSQL was killed
(SIGKILL) after {killed} s and stopped after {stopped} s, and was down for {away} s each time.

| | |
| --- | ---: |
| requests acknowledged (2xx) | {acknowledged:,} |
| other responses, errors, timeouts | {failed:,} |
| rows in the database afterwards | {rows:,} |
| acknowledged but not in the database | {lost:,} |
| median memory of the worker, second minute → last minute | {first:.0f} MiB → {last:.0f} MiB |

Requests in flight when the client exits (at most {connections}) are in the database, but not in the client's count.

| minute | worker MiB | drain MiB | spool MiB |
| ---: | ---: | ---: | ---: |
{lines}
"""


@dataclass
class Sample:
    """Memory of the processes and size of the spool in MiB, some seconds after the start."""

    seconds: float
    worker: float
    drain: float
    spool: float


def child(pid: int) -> int:
    return int(subprocess.run(["pgrep", "-P", str(pid)], check=True, capture_output=True, text=True).stdout.split()[0])


def resident(pid: int) -> float:
    """Return the memory of a process in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


def watch(worker: int, spool: Path, samples: list[Sample], ended: threading.Event) -> None:
    since = time.monotonic()
    with tqdm(total=SECONDS, unit="s", desc="soak", disable=None) as bar:
        while not ended.wait(INTERVAL):
            seconds = time.monotonic() - since
            samples.append(Sample(seconds, resident(worker), resident(child(worker)), waiting_bytes(spool) / MIB))
            bar.update(INTERVAL)


def disturb(server: Postgresql, ended: threading.Event) -> None:
    if ended.wait(KILLED):
        return
    server.kill()
    time.sleep(AWAY)
    server.start()
    if ended.wait(STOPPED - KILLED - AWAY):
        return
    server.stop()
    time.sleep(AWAY)
    server.start()


def load(url: str, body: Path, rate: float) -> tuple[int, int]:
    """Load a URL; return the number of requests answered with 2xx, and of all others."""
    command = [
        *("h2load", "--h1", f"--clients={CONNECTIONS}", f"--rps={rate / CONNECTIONS:.0f}", f"--duration={SECONDS}"),
        *("--header=content-type: application/json", f"--data={body}", url),
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    succeeded = int(re.search(r"(\d+) 2xx", output)[1])  # type: ignore[index]
    other = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", output)
    codes = re.search(r"(\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output)
    if not other or not codes:
        sys.exit(f"error: unexpected output of h2load:\n{output}")
    return succeeded, max(map(int, other.groups())) + sum(map(int, codes.groups()))


def count(url: str) -> int:
    engine = create_log_engine(url)
    with engine.connect() as connection:
        rows = int(connection.execute(sa.select(sa.func.count()).select_from(PREDICTIONS)).scalar_one())
    engine.dispose()
    return rows


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary, postgresql_server() as postgresql:
        folder = Path(temporary)
        body = folder / "body.json"
        body.write_text(json.dumps(EXAMPLE), encoding="utf-8")
        url = postgresql.database()
        command = [
            sys.executable,
            "-m",
            "bentoml",
            "serve",
            "--port",
            "{port}",
            "lifecycle.serving.service:ModelService",
        ]
        # A separate state directory, on disk instead of in memory.
        state = {"STATE_FOLDER": str(folder / "state"), "BENTOML_HOME": str(folder / "home")}
        service = Server("the service", command, {"PREDICTION_LOG_URL": url} | state)
        spool = folder / "state/spool"
        samples: list[Sample] = []
        ended = threading.Event()
        with started(service, folder) as (base, _, process):
            address = f"{base}/predict"
            wrk(address, EXAMPLE, folder, 5)
            capacity, _, _ = wrk(address, EXAMPLE, folder, 30)
            while waiting_bytes(spool) > 8 * MIB:
                time.sleep(0.5)
            time.sleep(2)
            before = count(url)
            worker = child(process.pid)
            threads = [
                threading.Thread(target=watch, args=(worker, spool, samples, ended)),
                threading.Thread(target=disturb, args=(postgresql, ended)),
            ]
            for thread in threads:
                thread.start()
            try:
                acknowledged, failed = load(address, body, SHARE * capacity)
            finally:
                ended.set()
                for thread in threads:
                    thread.join()
        # Drain what the service had no time for when it stopped.
        subprocess.run(
            [sys.executable, "-m", "lifecycle.prediction_log.drain"],
            env=os.environ | service.environment,
            cwd=ROOT,
            check=True,
        )
        rows = count(url) - before
    by_minute = [
        min(samples, key=lambda sample: abs(sample.seconds - 60 * minute)) for minute in range(SECONDS // 60 + 1)
    ]
    text = TEMPLATE.format(
        minutes=SECONDS / 60,
        cores=os.cpu_count(),
        python=platform.python_version(),
        capacity=capacity,
        rate=SHARE * capacity,
        share=SHARE,
        killed=KILLED,
        stopped=STOPPED,
        away=AWAY,
        acknowledged=acknowledged,
        failed=failed,
        rows=rows,
        lost=max(acknowledged - rows, 0),
        first=median([sample.worker for sample in samples if 60 <= sample.seconds < 120]),
        last=median([sample.worker for sample in samples if sample.seconds >= SECONDS - 60]),
        connections=CONNECTIONS,
        lines="\n".join(
            f"| {sample.seconds / 60:.0f} | {sample.worker:.0f} | {sample.drain:.0f} | {sample.spool:.0f} |"
            for sample in by_minute
        ),
    )
    REPORT.write_text(text, encoding="utf-8")
    print(text)
    if failed or rows < acknowledged:
        sys.exit("error: requests failed or were lost")


if __name__ == "__main__":
    main()
