"""`python -m lifecycle.prediction_log.newest 500`: print the inputs of the newest predictions, a JSON object per line.

It reads the settings of the service, so that in the service's container it finds the service's log.
"""

import argparse

import sqlalchemy as sa

from lifecycle.prediction_log.database import PREDICTIONS, create_log_engine
from lifecycle.prediction_log.log_settings import LogSettings, read_environment
from lifecycle.shared import console
from lifecycle.shared.console import UserError, first_line


def main() -> None:
    """Print the inputs, the newest first."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.prediction_log.newest", description=__doc__)
    parser.add_argument("rows", type=int, help="largest number of predictions to print")
    rows = parser.parse_args().rows
    newest = sa.select(PREDICTIONS.c.inputs).order_by(PREDICTIONS.c.time.desc()).limit(rows)
    try:
        with create_log_engine(read_environment(LogSettings).log_url()).connect() as connection:
            if sa.inspect(connection).has_table(PREDICTIONS.name):  # created with the first record
                for (inputs,) in connection.execute(newest):
                    print(inputs)
    except sa.exc.SQLAlchemyError as error:
        reason = first_line(error)
        raise UserError(f"the prediction log cannot be read: {reason}") from error


if __name__ == "__main__":
    console.run_main(main)
