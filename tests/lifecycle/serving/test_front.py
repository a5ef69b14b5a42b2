"""front.py works with the installed version of BentoML. If a test fails, set FAST_ROUTE=false until it is fixed."""

import time
from pathlib import Path

from tests.lifecycle.serving.conftest import EXAMPLE, Service, eventually, running

BENTOML_COUNTS = 'bentoml_service_request_total{endpoint="/predict"'


def counted_by_bentoml(service: Service) -> bool:
    return any(line.startswith(BENTOML_COUNTS) for line in service.get("/metrics").text.splitlines())


def test_fast_route_bypasses_bentoml(service: Service) -> None:
    service.predict(EXAMPLE)
    time.sleep(0.5)
    assert not counted_by_bentoml(service)
    assert service.metric("model_rows_total") >= 1


def test_same_answers_without_the_fast_route(service: Service, trained: Path, tmp_path: Path) -> None:
    with running(trained, tmp_path, FAST_ROUTE="false") as public:
        (fast,), (slow,) = service.predict(EXAMPLE), public.predict(EXAMPLE)
        assert slow["probability"] == fast["probability"]
        eventually(lambda: counted_by_bentoml(public))
        wrong = EXAMPLE | {"distance": -1}
        assert public.post(json=wrong).json() == service.post(json=wrong).json()
        assert public.get("/model").json() == service.get("/model").json()
        for path in ("/", "/docs.json", "/readyz"):
            assert public.get(path).status_code == 200
        assert public.get("/strange").status_code == 404
