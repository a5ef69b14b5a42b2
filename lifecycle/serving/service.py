"""The BentoML service: loads the model, and starts and stops the application that answers requests.

`bentoml serve` runs it, and bentofile.yaml packs it. Its settings are environment variables: see environment.py.
"""

import gc
import logging
import sys

import bentoml
from starlette.applications import Starlette
from starlette.routing import Route

from lifecycle.pipeline.lineage import read_lineage
from lifecycle.prediction_log.database import create_log_engine
from lifecycle.prediction_log.log_settings import read_environment
from lifecycle.prediction_log.spool import prepare_spool
from lifecycle.serving.application import PATHS, Application
from lifecycle.serving.environment import ServingSettings
from lifecycle.serving.front import LateApplication, put_in_front
from lifecycle.shared.console import UserError
from lifecycle.shared.histograms import histograms_of
from lifecycle.shared.predictor import Predictor
from model import contract

_application = LateApplication()


def _settings() -> ServingSettings:
    try:
        return read_environment(ServingSettings)
    except UserError as error:
        sys.exit(f"error: {error}")


@bentoml.service(
    name=contract.NAME,
    workers=_settings().workers,
    traffic={"timeout": _settings().request_timeout},
    # The application writes its own access log, which is shorter and cheaper.
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(Starlette(routes=[Route(path, _application) for path in PATHS]))
class ModelService:
    """Predictions over HTTP."""

    def __init__(self) -> None:
        """Load the model, in a worker that BentoML has set up."""
        # Without this, uvicorn formats a log line for each request and discards it.
        logging.getLogger("uvicorn.access").propagate = False
        self._application = _application.application = Application.load(read_environment(ServingSettings))

    @bentoml.on_deployment
    @staticmethod
    def check() -> None:
        """Exit with a message if the workers could not start, because BentoML would restart them for ever."""
        settings = _settings()
        try:
            histograms_of(Predictor.load(settings.model_folder).metadata)
            read_lineage(settings.lineage, settings.model_folder)
            prepare_spool(settings.spool_folder())
            create_log_engine(settings.log_url()).dispose()
        except UserError as error:
            sys.exit(f"error: {error}")

    @bentoml.on_startup
    async def start(self) -> None:
        """Start the application, and exclude the loaded objects from garbage collection."""
        await self._application.start()
        # With all loaded modules, a full collection takes 70 ms, and delays a request by that.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        sys.setswitchinterval(0.0005)

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Write the records of the answered requests."""
        await self._application.stop()


if _settings().fast_route:
    put_in_front(ModelService, _application)
