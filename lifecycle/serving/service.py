"""The BentoML service: loads the model, and starts and stops what answers the requests.

`bentoml serve` runs it, bentofile.yaml packs it. The settings are environment variables, see environment.py.
"""

import gc
import logging
import sys

import bentoml
from starlette.applications import Starlette
from starlette.routing import Route

from lifecycle.pipeline.lineage import read_lineage
from lifecycle.serving.application import PATHS, Application
from lifecycle.serving.environment import ServingSettings, load_settings
from lifecycle.serving.front import LateApplication, put_in_front
from lifecycle.serving.prediction_log import create_log_engine
from lifecycle.serving.spool import prepare_spool
from lifecycle.shared.console import UserError
from lifecycle.shared.histograms import histograms_of
from lifecycle.shared.predictor import Predictor
from model import contract

_application = LateApplication()


def _settings() -> ServingSettings:
    try:
        return load_settings()
    except UserError as error:
        sys.exit(f"error: {error}")


@bentoml.service(
    name=contract.NAME,
    workers=_settings().workers,
    traffic={"timeout": _settings().request_timeout},
    # The application has its own, with less in it and at less cost.
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(Starlette(routes=[Route(path, _application) for path in PATHS]))
class ModelService:
    """The model over HTTP."""

    def __init__(self) -> None:
        """Load the model: in the worker, after BentoML has set it up."""
        # uvicorn would format a line of its own for each request, and throw it away.
        logging.getLogger("uvicorn.access").propagate = False
        self._application = _application.application = Application.load(load_settings())

    @bentoml.on_deployment
    @staticmethod
    def check() -> None:
        """Stop the start with a line, before any worker: they would be started again and again."""
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
        """Start the threads, and keep the garbage collector away from what has been loaded for good."""
        await self._application.start()
        # A full collection takes 70 ms with all modules in it, in the middle of somebody's request.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        sys.setswitchinterval(0.0005)

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Write what has been answered."""
        await self._application.stop()


if _settings().fast_route:
    put_in_front(ModelService, _application)
