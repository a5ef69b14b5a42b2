"""The programs that tests and rehearsal need in addition to what `make` needs, and which of them are missing here.

`python3 -m tests.lifecycle.missing [NAME …]` names the missing programs and fails if there are any; `--packages` prints
their Debian packages. `.ci/run` calls this before there is a .venv, so everything up to `skip` uses only the standard
library.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, NoReturn


class Program(NamedTuple):
    """A program that tests need.

    Attributes:
        name: Name of the command.
        package: Debian package that contains it.
        purpose: What the tests need it for.
    """

    name: str
    package: str
    purpose: str


CONTAINERS = (
    Program("podman", "podman", "runs the image"),
    Program("runc", "runc", "starts podman's containers"),
    Program("mmdebstrap", "mmdebstrap", "makes the base image if none can be pulled"),
)
# For a release, from a merge to a production host on this machine.
RELEASE = (
    *CONTAINERS,
    Program("netavark", "netavark", "the network between podman's containers"),
    Program("aardvark-dns", "aardvark-dns", "names in that network"),
    Program("iptables", "iptables", "sets netavark's rules"),
    Program("docker-registry", "docker-registry", "a registry of images"),
    Program("sshd", "openssh-server", "accepts logins to the production host"),
    Program("haproxy", "haproxy", "routes requests to the service there"),
    Program("postgres", "postgresql", "the database of the prediction log"),
    Program("gh", "gh", "writes to GitHub"),
)
TESTS = (
    *RELEASE,
    Program("npm", "npm", "installs CML from its source"),
    Program("prometheus", "prometheus", "evaluates the alerts"),
    Program("promtool", "prometheus", "tests the alerts"),
    Program("prometheus-alertmanager", "prometheus-alertmanager", "sends the alerts"),
    Program("openssl", "openssl", "encrypts mail"),
    Program("chromium", "chromium", "opens the page of a check"),
)
BENCHMARKS = (
    Program("wrk", "wrk", "loads the service"),
    Program("h2load", "nghttp2-client", "loads the service at a constant rate"),
)

_BY_NAME: dict[str, tuple[Program, ...]] = {program.name: (program,) for program in (*TESTS, *BENCHMARKS)}
_BY_NAME |= {"containers": CONTAINERS, "release": RELEASE}
# Directories of Debian's programs that are not on every user's PATH, and of podman's helpers.
_ELSEWHERE = ("/usr/sbin", "/sbin", "/usr/libexec/podman", "/usr/lib/podman")
_POSTGRESQL = Path("/usr/lib/postgresql")


def find(name: str) -> str | None:
    """Return the path of a program, on or off the PATH; None if it is missing."""
    newest_first = sorted(_POSTGRESQL.glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *_ELSEWHERE, *map(str, newest_first)]))


def missing(*names: str) -> list[Program]:
    """List the missing programs.

    Args:
        names: Programs, or the groups `containers` and `release`; by default all programs of the tests.
    """
    needed = [program for name in names for program in _BY_NAME[name]] if names else TESTS
    return [program for program in dict.fromkeys(needed) if not find(program.name)]


def packages(programs: Iterable[Program]) -> list[str]:
    """Return the Debian packages of some programs."""
    return list(dict.fromkeys(program.package for program in programs))


def in_words(programs: Iterable[Program]) -> str:
    """Say which programs are missing, and how to install them."""
    programs = list(programs)
    named = "; ".join(f"{program.name} ({program.purpose})" for program in programs)
    install = f"apt-get install --no-install-recommends {' '.join(packages(programs))}"
    return f"missing here: {named}. On Debian: {install}"


def skip(reason: str) -> NoReturn:
    """Skip the test, or fail it if REQUIRE_ALL is 1. Outside of a test, exit."""
    if "PYTEST_CURRENT_TEST" not in os.environ:
        sys.exit(f"error: {reason}")
    import pytest

    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"{reason}; and REQUIRE_ALL is 1")
    pytest.skip(reason)


def need(*names: str) -> None:
    """Skip the test if some of these programs or groups are missing; the reason names them all."""
    if lacking := missing(*names):
        skip(in_words(lacking))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m tests.lifecycle.missing", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a program, or the group `containers` or `release`")
    parser.add_argument("--packages", action="store_true", help="print the Debian packages, and nothing else")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in _BY_NAME]:
        parser.error(f"unknown program {unknown[0]!r}; known are {', '.join(_BY_NAME)}")
    lacking = missing(*arguments.names)
    if arguments.packages:
        print(*packages(lacking))
    elif lacking:
        sys.exit(f"error: {in_words(lacking)}")


if __name__ == "__main__":
    main()
