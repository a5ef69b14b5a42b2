"""Write aside, then rename: a reader sees the old output or the new one, never half of one."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lifecycle.shared.console import UserError


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which takes the place of ``path`` when the block succeeds and is deleted when not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.tmp")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill, which takes the place of ``path`` when the block succeeds."""
    aside, old = path.with_name(f".{path.name}.tmp"), path.with_name(f".{path.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)  # a folder cannot be renamed over one that has files in it
        aside.rename(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text."""
    with replacing_file(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, byte for byte the same for the same value."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def require_space(folder: Path, needed: int) -> None:
    """Refuse to start what the disk has no room for.

    Args:
        folder: A folder on the disk that will be written to; need not exist yet.
        needed: Bytes that will be written.

    Raises:
        UserError: Where less than ``needed`` is free.
    """
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"too little disk: about {needed / 2**20:,.0f} MiB are needed and {free / 2**20:,.0f} MiB are free at "
            f"{folder.resolve()}. Free some space (`make clean` removes what can be made again) and run it again."
        )
