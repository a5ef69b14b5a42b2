"""The fast route: requests for the service's own paths bypass BentoML's middleware.

BentoML documents `@bentoml.asgi_app`, which mounts an application behind all of its middleware: several kinds of
telemetry, a timer for each request, a metric for each requested path. This module puts the application in front of the
middleware: it wraps `Service.to_asgi`, an undocumented method that BentoML's workers call to get the application that
they serve. FAST_ROUTE=false turns this off, at the throughput in benchmarks/serving.md; BentoML then answers paths that
do not exist. tests/lifecycle/serving/test_front.py fails if BentoML no longer works this way.
"""

from typing import TYPE_CHECKING, Any

from lifecycle.serving.application import Application, Receive, Scope, Send

if TYPE_CHECKING:
    import bentoml

# BentoML answers these paths, and the application all others, so that no path that a client makes up becomes a metric.
_BENTOML = {"/livez", "/healthz", "/readyz", "/metrics"}
# Assets of the OpenAPI page.
_BENTOML |= {"/static_content/swagger-ui.css", "/static_content/swagger-ui-bundle.js"}


def put_in_front(service: "bentoml.Service[Any]", application: "LateApplication") -> None:
    """Make the workers of a service pass requests to the application first."""
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
                await send({"type": "websocket.close"})  # the service has no websockets

        return front

    kind.to_asgi = to_asgi


class LateApplication:
    """A stand-in for the application. BentoML needs one when the service is defined, before the model is loaded."""

    def __init__(self) -> None:
        """Create it without an application, which the service sets before its server accepts requests."""
        self.application: Application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application."""
        await self.application(scope, receive, send)
