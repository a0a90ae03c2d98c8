"""What the server measures of itself. Source: the Orthanc Book, "Instrumentation with Prometheus"."""

from ...services.context import ServerContext
from ...services.measurements import measure
from ..metrics_text import OPEN_METRICS, PROMETHEUS, open_metrics_text, prometheus_text
from ..routing import Doc, Routes
from ..text_body import boolean_body
from ..wire import Answer, AnyAnswer, Request, text_answer

routes = Routes()


@routes.get("/tools/metrics", doc=Doc(answer="text/plain"))
async def get_enabled(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer 1 if metrics are collected, else 0."""
    return text_answer(str(int(context.metrics.is_enabled)))


@routes.put("/tools/metrics", doc=Doc(body="text/plain", answer="text/plain"))
async def put_enabled(context: ServerContext, request: Request) -> AnyAnswer:
    """Say whether metrics are collected, until the next start."""
    context.metrics.is_enabled = await boolean_body(request)
    return text_answer()


@routes.get("/tools/metrics-prometheus", doc=Doc(answer="text/plain"))
async def get_prometheus(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer all metrics, one a line: name, value, milliseconds since 1970; none while they are disabled."""
    await measure(context)
    text = prometheus_text(context.metrics) if context.metrics.is_enabled else ""
    return Answer(body=text.encode(), media_type=PROMETHEUS)


@routes.get("/tools/metrics-openmetrics", doc=Doc(answer="application/openmetrics-text"))
async def get_open_metrics(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer all metrics as OpenMetrics, with types, and the times of requests by route and status."""
    await measure(context)
    text = open_metrics_text(context.metrics) if context.metrics.is_enabled else "# EOF\n"
    return Answer(body=text.encode(), media_type=OPEN_METRICS)
