"""`python -m lifecycle.pipeline.verify_cache`: remove objects of DVC's cache whose content is not that of their name.

DVC trusts what is in its cache. A cache that was stored elsewhere, as that of a workflow, may be damaged.
"""

import hashlib
from pathlib import Path

from lifecycle.shared import console

_CACHE = Path(".dvc/cache")


def remove_damaged(cache: Path = _CACHE) -> list[str]:
    """Remove damaged objects, which DVC then fetches or makes again, and return their names."""
    damaged = []
    for path in sorted(cache.glob("files/md5/??/*")):
        name = f"{path.parent.name}{path.name}".removesuffix(".dir")
        with path.open("rb") as file:
            if hashlib.file_digest(file, "md5").hexdigest() != name:
                damaged.append(path)
    for path in damaged:
        path.unlink()
    return [f"{path.parent.name}{path.name}" for path in damaged]


def main() -> None:
    """Verify the cache of the working tree, and say what was removed."""
    damaged = remove_damaged()
    for name in damaged:
        print(f"::warning title=Damaged cache::the object {name} of DVC's cache had another content and was removed.")
    if not damaged:
        print("DVC's cache is as it should be.")


if __name__ == "__main__":
    console.run_main(main)
