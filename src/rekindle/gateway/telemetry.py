"""What the gateway tells of itself: an access log line and Prometheus figures for every request."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.responses import Response

_LOG = structlog.get_logger("rekindle.access")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass
class Record:
    """One request as the access log shows it. No query and no headers: they can hold signatures."""

    request_id: str
    method: str
    path: str
    client: str
    service: str = "-"
    operation: str | None = None
    account: str | None = None
    access_key: str | None = None
    refused: str | None = None
    status: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0


class Telemetry:
    """The gateway's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "rekindle_http_requests", "Requests answered.", ["service", "method", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "rekindle_http_request_seconds", "Time to answer.", ["service"], registry=self.registry, buckets=_BUCKETS
        )
        self._refused = Counter("rekindle_http_refused", "Requests not let in.", ["reason"], registry=self.registry)
        self._bytes = Counter("rekindle_http_bytes", "Body bytes.", ["service", "direction"], registry=self.registry)
        self.in_flight = Gauge("rekindle_http_requests_in_flight", "Requests being answered.", registry=self.registry)

    def done(self, record: Record) -> None:
        """Counts and logs a request that was answered, or broke off (status 0)."""
        method = record.method if record.method in ("GET", "PUT", "POST", "HEAD", "DELETE", "OPTIONS", "PATCH") else "other"
        self._requests.labels(record.service, method, str(record.status)).inc()
        self._seconds.labels(record.service).observe(record.seconds)
        self._bytes.labels(record.service, "in").inc(record.bytes_in)
        self._bytes.labels(record.service, "out").inc(record.bytes_out)
        if record.refused:
            self._refused.labels(record.refused).inc()
        shown = {name: value for name, value in vars(record).items() if value is not None}
        _LOG.info("request", **{**shown, "seconds": round(record.seconds, 6)})

    def exposition(self) -> Response:
        """The figures in Prometheus's text form."""
        return Response(generate_latest(self.registry), media_type=None, headers={"content-type": CONTENT_TYPE_LATEST})
