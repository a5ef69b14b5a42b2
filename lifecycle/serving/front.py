"""The fast route: requests for the service's own paths pass BentoML's middleware by.

BentoML promises `@bentoml.asgi_app`, which mounts an application behind all of its middleware: telemetry of several
kinds, a timer for each request, a metric for each path that anyone asks for. This puts the application in front of it,
by wrapping `Service.to_asgi`, which its workers call for the application that they serve, and which is not documented.
FAST_ROUTE=false goes without, at the throughput that benchmarks/serving.md states, with BentoML's answer to paths that
do not exist. tests/lifecycle/serving/test_front.py fails when BentoML no longer works this way.
"""

from typing import TYPE_CHECKING, Any

from lifecycle.serving.application import Application, Receive, Scope, Send

if TYPE_CHECKING:
    import bentoml

# What is left to BentoML. Any other path is answered by the application, so that no stranger's path becomes a metric.
_BENTOML = {"/livez", "/healthz", "/readyz", "/metrics"}
# Of the page that shows the API.
_BENTOML |= {"/static_content/swagger-ui.css", "/static_content/swagger-ui-bundle.js"}


def put_in_front(service: "bentoml.Service[Any]", application: "LateApplication") -> None:
    """Have a service's workers ask the application first."""
    kind: Any = type(service)
    inner = kind.to_asgi

    def to_asgi(self: "bentoml.Service[Any]", is_main: bool = True) -> Any:  # noqa: FBT001, FBT002 - BentoML's signature
        behind = inner(self, is_main=is_main)
        if self is not service:
            return behind

        async def front(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in _BENTOML):
                await behind(scope, receive, send)
            elif scope["type"] == "http":
                await application(scope, receive, send)
            else:
                await send({"type": "websocket.close"})  # there are none

        return front

    kind.to_asgi = to_asgi


class LateApplication:
    """The application as it can be named before the model is loaded: BentoML wants it when the service is defined."""

    def __init__(self) -> None:
        """The service sets the application before its server takes requests."""
        self.application: Application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        await self.application(scope, receive, send)
