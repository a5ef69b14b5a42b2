"""The programs that the tests and the rehearsal use beside what `make` needs, and which of them this machine lacks.

`python3 -m tests.lifecycle.missing [NAME …]` names the missing ones, and fails if there are any; `--packages` prints
the Debian packages that have them. `.ci/run` asks before there is a .venv: hence only the standard library, up to
`skip`.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, NoReturn


class Program(NamedTuple):
    """A program.

    Attributes:
        name: Its command.
        package: Debian package that has it.
        purpose: What it is needed for.
    """

    name: str
    package: str
    purpose: str


CONTAINERS = (
    Program("podman", "podman", "runs the image"),
    Program("runc", "runc", "starts podman's containers"),
    Program("mmdebstrap", "mmdebstrap", "makes the image to build on where none can be pulled"),
)
# A release, from a merge to a production host on this machine.
RELEASE = (
    *CONTAINERS,
    Program("netavark", "netavark", "the network between podman's containers"),
    Program("aardvark-dns", "aardvark-dns", "names in that network"),
    Program("iptables", "iptables", "netavark sets its rules with it"),
    Program("docker-registry", "docker-registry", "a registry of images"),
    Program("sshd", "openssh-server", "the way to the production host"),
    Program("haproxy", "haproxy", "in front of the service there"),
    Program("postgres", "postgresql", "the database of the prediction log"),
    Program("gh", "gh", "writes to GitHub"),
)
TESTS = (
    *RELEASE,
    Program("npm", "npm", "installs CML from its source"),
    Program("promtool", "prometheus", "tests the alerts"),
    Program("chromium", "chromium", "opens the page of a check"),
)
BENCHMARKS = (
    Program("wrk", "wrk", "loads the service"),
    Program("h2load", "nghttp2-client", "loads the service at a constant rate"),
)

_BY_NAME: dict[str, tuple[Program, ...]] = {one.name: (one,) for one in (*TESTS, *BENCHMARKS)}
_BY_NAME |= {"containers": CONTAINERS, "release": RELEASE}
# Where Debian keeps those that are not on everybody's PATH, and podman its helpers.
_ELSEWHERE = ("/usr/sbin", "/sbin", "/usr/libexec/podman", "/usr/lib/podman")
_POSTGRESQL = Path("/usr/lib/postgresql")


def find(name: str) -> str | None:
    """The path of a program, on the PATH or off it; None where it is missing."""
    newest_first = sorted(_POSTGRESQL.glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *_ELSEWHERE, *map(str, newest_first)]))


def missing(*names: str) -> list[Program]:
    """List what is missing.

    Args:
        names: Programs, or the groups `containers` and `release`; by default all that the tests use.
    """
    wanted = [one for name in names for one in _BY_NAME[name]] if names else TESTS
    return [one for one in dict.fromkeys(wanted) if not find(one.name)]


def packages(programs: Iterable[Program]) -> list[str]:
    """The Debian packages that have them."""
    return list(dict.fromkeys(one.package for one in programs))


def in_words(programs: Iterable[Program]) -> str:
    """Say what is missing, and how to get it."""
    programs = list(programs)
    named = "; ".join(f"{one.name} ({one.purpose})" for one in programs)
    install = f"apt-get install --no-install-recommends {' '.join(packages(programs))}"
    return f"missing here: {named}. On Debian: {install}"


def skip(reason: str) -> NoReturn:
    """Skip the test; with REQUIRE_ALL=1, where nothing is to be missing, fail it. Outside of a test end the process."""
    if "PYTEST_CURRENT_TEST" not in os.environ:
        sys.exit(f"error: {reason}")
    import pytest

    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"{reason}; and REQUIRE_ALL is 1")
    pytest.skip(reason)


def need(*names: str) -> None:
    """Skip the test where some of these programs, or of these groups, are missing; it names them all."""
    if lacking := missing(*names):
        skip(in_words(lacking))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m tests.lifecycle.missing", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a program, or `containers` or `release`")
    parser.add_argument("--packages", action="store_true", help="print the Debian packages, and nothing else")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in _BY_NAME]:
        parser.error(f"there is no {unknown[0]!r} in the list, which has {', '.join(_BY_NAME)}")
    lacking = missing(*asked.names)
    if asked.packages:
        print(*packages(lacking))
    elif lacking:
        sys.exit(f"error: {in_words(lacking)}")


if __name__ == "__main__":
    main()
