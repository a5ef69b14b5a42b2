"""A registry of images on this machine."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.lifecycle.serving.conftest import free_port


@contextmanager
def registry_of_images(folder: Path) -> Iterator[str]:
    """Start a registry and yield its address. It needs Debian's program `docker-registry`."""
    name = f"127.0.0.1:{free_port()}"
    settings = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": name},
    }
    (folder / "registry.yml").write_text(json.dumps(settings), encoding="utf-8")
    with (folder / "registry.log").open("wb") as log:
        server = subprocess.Popen(["docker-registry", "serve", str(folder / "registry.yml")], stdout=log, stderr=log)
    try:
        for _ in range(100):
            try:
                httpx.get(f"http://{name}/v2/")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield name
    finally:
        server.terminate()
        server.wait(10)
