"""The edge of every command: errors that are for people, and an exit status."""

import errno
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime


class UserError(Exception):
    """Something the user can mend. The message says what is wrong, where, and what to do."""


def run_main(command: Callable[[], None]) -> None:
    """Run a command; end the process with status 1 and a message, without a traceback, where the user can mend it."""
    try:
        command()
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:
        # The reader of our output has gone (`… | head`): nothing is wrong, and nobody is left to be told.
        os._exit(0)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        where = f" while writing {error.filename}" if error.filename else ""
        sys.exit(f"error: the disk is full{where}. Nothing was replaced. Free some space and run the command again.")
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing was replaced")


def moment(text: str) -> datetime:
    """Parse the argument of a command that is a date or a time; in UTC unless it has a zone."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
