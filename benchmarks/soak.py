"""Load the service for ten minutes while its PostgreSQL is killed and stopped, and write benchmarks/soak.md.

Needs wrk, h2load and PostgreSQL. What was acknowledged is counted by the client, and afterwards by the database.
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
from lifecycle.serving.prediction_log import PREDICTIONS, create_log_engine
from lifecycle.serving.spool import waiting_bytes
from tests.lifecycle.serving.postgresql import Postgresql, postgresql_server

REPORT = ROOT / "benchmarks/soak.md"
SECONDS = 600
SHARE = 0.8  # of the capacity
LOOK = 5  # seconds between two looks
# When PostgreSQL is ended, and for how long it is away, in seconds.
KILLED, STOPPED, AWAY = 150, 330, 30
MIB = 2**20

TEMPLATE = """\
# The service under load for {minutes:.0f} minutes

Written by `make -C benchmarks soak` on {cores} cores, Python {python}. One worker with PostgreSQL as its prediction
log, the client, the database and the service on the same cores. Capacity, measured by wrk just before:
{capacity:,.0f} single-row requests/s. Load: {rate:,.0f} requests/s, {share:.0%} of it. PostgreSQL was killed
(SIGKILL) after {killed} s and stopped after {stopped} s, each time for {away} s.

| | |
| --- | ---: |
| requests acknowledged (2xx) | {acknowledged:,} |
| other answers, errors, timeouts | {failed:,} |
| rows in the database afterwards | {rows:,} |
| acknowledged and not in the database | {lost:,} |
| worker's memory, second minute → last minute, median | {first:.0f} MiB → {last:.0f} MiB |

Requests in flight when the client ends (at most {connections}) are in the database and were not counted by the client.

| minute | worker MiB | drain MiB | spool MiB |
| ---: | ---: | ---: | ---: |
{lines}
"""


@dataclass
class Look:
    """What was seen at a time."""

    seconds: float
    worker: float
    drain: float
    spool: float


def child(pid: int) -> int:
    return int(subprocess.run(["pgrep", "-P", str(pid)], check=True, capture_output=True, text=True).stdout.split()[0])


def resident(pid: int) -> float:
    """Memory of a process in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


def watch(worker: int, spool: Path, looks: list[Look], ended: threading.Event) -> None:
    since = time.monotonic()
    with tqdm(total=SECONDS, unit="s", desc="soak", disable=None) as bar:
        while not ended.wait(LOOK):
            seen = time.monotonic() - since
            looks.append(Look(seen, resident(worker), resident(child(worker)), waiting_bytes(spool) / MIB))
            bar.update(LOOK)


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
    """Load a URL: how many requests were answered with 2xx, and how many otherwise or not at all."""
    command = [
        *("h2load", "--h1", f"--clients={CONNECTIONS}", f"--rps={rate / CONNECTIONS:.0f}", f"--duration={SECONDS}"),
        *("--header=content-type: application/json", f"--data={body}", url),
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    succeeded = int(re.search(r"(\d+) 2xx", said)[1])  # type: ignore[index]
    other = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", said)
    codes = re.search(r"(\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said)
    if not other or not codes:
        sys.exit(f"error: h2load says something else than expected:\n{said}")
    return succeeded, max(map(int, other.groups())) + sum(map(int, codes.groups()))


def count(url: str) -> int:
    engine = create_log_engine(url)
    with engine.connect() as connection:
        found = int(connection.execute(sa.select(sa.func.count()).select_from(PREDICTIONS)).scalar_one())
    engine.dispose()
    return found


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
        # A state of its own for the soak, on the disk and not in memory.
        state = {"STATE_FOLDER": str(folder / "state"), "BENTOML_HOME": str(folder / "home")}
        service = Server("the service", command, {"PREDICTION_LOG_URL": url} | state)
        spool = folder / "state/spool"
        looks: list[Look] = []
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
                threading.Thread(target=watch, args=(worker, spool, looks, ended)),
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
        # What the stopping service had no time for.
        subprocess.run(
            [sys.executable, "-m", "lifecycle.serving.drain"],
            env=os.environ | service.environment,
            cwd=ROOT,
            check=True,
        )
        rows = count(url) - before
    by_minute = [min(looks, key=lambda look: abs(look.seconds - 60 * minute)) for minute in range(SECONDS // 60 + 1)]
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
        first=median([look.worker for look in looks if 60 <= look.seconds < 120]),
        last=median([look.worker for look in looks if look.seconds >= SECONDS - 60]),
        connections=CONNECTIONS,
        lines="\n".join(
            f"| {look.seconds / 60:.0f} | {look.worker:.0f} | {look.drain:.0f} | {look.spool:.0f} |"
            for look in by_minute
        ),
    )
    REPORT.write_text(text, encoding="utf-8")
    print(text)
    if failed or rows < acknowledged:
        sys.exit("error: requests failed or are lost")


if __name__ == "__main__":
    main()
