"""The entry point of every command, which turns errors for users into a message and an exit status."""

import errno
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime


class UserError(Exception):
    """An error that the user can fix. The message says what is wrong, where, and what to do."""


class CommandError(Exception):
    """An error for a command that failed. The message holds the last lines of its output.

    Attributes:
        status: Exit status of the command.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def first_line(error: Exception) -> str:
    """Return the first line of an error's message; those of libraries often have many."""
    return str(error).strip().partition("\n")[0]


def run_main(command: Callable[[], None]) -> None:
    """Run a command and exit with status 1 and a message, without a traceback, on an error that the user can fix."""
    try:
        command()
    except (UserError, CommandError) as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:
        # The reader of stdout has closed it (`… | head`): not an error, and there is nobody to report it to.
        os._exit(0)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        where = f" while writing {error.filename}" if error.filename else ""
        sys.exit(f"error: the disk is full{where}. Nothing was replaced. Free some space and run the command again.")
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing was replaced")


def moment(text: str) -> datetime:
    """Parse a date or a date and time from the command line; it is in UTC unless it has a time zone."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
