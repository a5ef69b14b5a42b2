import subprocess
import sys

from tests.lifecycle.repository import EXAMPLE_PROJECT, with_example


def test_closed_stdout_is_not_an_error() -> None:
    """As in `… | head`."""
    code = "from lifecycle.shared import console; console.run_main(lambda: print('x' * 10**7))"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=EXAMPLE_PROJECT,
        env=with_example(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
