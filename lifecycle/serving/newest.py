"""`python -m lifecycle.serving.newest 500`: print the newest rows of the prediction log, one per line, inputs as JSON.

With the settings of the service: in its container, it finds the log that the service writes.
"""

import argparse

import sqlalchemy as sa

from lifecycle.serving.environment import load_settings
from lifecycle.serving.prediction_log import PREDICTIONS, create_log_engine
from lifecycle.shared import console
from lifecycle.shared.console import UserError


def main() -> None:
    """Print them, the newest first."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.serving.newest", description=__doc__)
    parser.add_argument("rows", type=int)
    rows = parser.parse_args().rows
    newest = sa.select(PREDICTIONS.c.inputs).order_by(PREDICTIONS.c.time.desc()).limit(rows)
    try:
        with create_log_engine(load_settings().log_url()).connect() as connection:
            if sa.inspect(connection).has_table(PREDICTIONS.name):  # it has not before the first prediction
                for (inputs,) in connection.execute(newest):
                    print(inputs)
    except sa.exc.SQLAlchemyError as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"the prediction log cannot be read: {reason}") from error


if __name__ == "__main__":
    console.run_main(main)
