"""What ``/metrics`` shows: the kernel's measures, read when asked, and what this transport counts itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from coda_core.kernel import Kernel
    from coda_websocket.opus import Direction

__all__ = ["CONTENT_TYPE", "Meters"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_DELAYS_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
_QUANTILES: Final = (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99"))


class Meters:
    """The counters of one transport, and the page that shows them."""

    def __init__(self, kernel: Kernel) -> None:
        self.registry = registry = CollectorRegistry()
        registry.register(_KernelMeasures(kernel))
        ProcessCollector(registry=registry)
        self.connections = Gauge(
            "coda_websocket_connections", "WebSockets that are open.", ["endpoint"], registry=registry
        )
        self.conversations = Counter(
            "coda_websocket_conversations", "Conversations opened or taken up again.", ["how"], registry=registry
        )
        self.refused = Counter("coda_websocket_refused", "Requests refused.", ["reason"], registry=registry)
        self.closed = Counter("coda_websocket_closed", "WebSockets closed.", ["code"], registry=registry)
        self.received_bytes = Counter(
            "coda_websocket_received_bytes", "Payload of the messages of peers.", registry=registry
        )
        self.sent_bytes = Counter("coda_websocket_sent_bytes", "Payload of the messages to peers.", registry=registry)
        self.dropped_frames = Counter(
            "coda_websocket_dropped_frames", "Frames that peers were too slow to take.", registry=registry
        )
        self.framing = Histogram(
            "coda_websocket_framing_seconds",
            "From a frame's hand-over to its message being written.",
            buckets=_DELAYS_S,
            registry=registry,
        )
        self._opus = Histogram(
            "coda_websocket_opus_seconds",
            "Time to code a piece of Opus, waiting included.",
            ["direction"],
            buckets=_DELAYS_S,
            registry=registry,
        )
        self._opus_load = Gauge(
            "coda_websocket_opus_load_ratio",
            "Share of the last seconds in which the least busy process had Opus to code.",
            registry=registry,
        )
        for how in ("opened", "resumed", "restarted"):
            self.conversations.labels(how)

    def opus_took(self, direction: Direction, seconds: float) -> None:
        self._opus.labels(direction).observe(seconds)

    def watch_opus(self, load: Callable[[], float]) -> None:
        """Show what `load` says, at the moment of asking."""
        self._opus_load.set_function(load)

    def page(self) -> bytes:
        """Return the page."""
        return generate_latest(self.registry)


class _KernelMeasures(Collector):
    """The measures of the streaming manager, at the moment of asking."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def describe(self) -> Iterator[Metric]:
        # Without this, registering would already ask for the measures.
        return iter(())

    def collect(self) -> Iterator[Metric]:
        measures = self._kernel.measures()
        yield GaugeMetricFamily(
            "coda_conversations_capacity", "Conversations that may be live at once.", value=measures.capacity
        )
        states = GaugeMetricFamily("coda_conversations", "Conversations, by what they are doing.", labels=["status"])
        counted = dict.fromkeys(("live", "paused", "parked"), 0)
        for conversation in self._kernel.conversations.values():
            counted[conversation.status] = counted.get(conversation.status, 0) + 1
        for status, count in counted.items():
            states.add_metric([status], count)
        yield states
        yield GaugeMetricFamily(
            "coda_load_ratio", "Recent p95 of the step time as a share of one frame.", value=measures.load
        )
        yield GaugeMetricFamily(
            "coda_realtime_factor",
            "Seconds of audio stepped per second of work, over all conversations.",
            value=measures.realtime_factor,
        )
        for name, meaning, value in (
            ("coda_frames", "Frames stepped.", measures.frames),
            ("coda_dropped_frames", "Frames of callers lost before the model.", measures.dropped_frames),
            ("coda_late_frames", "Frames answered later than one frame after they came.", measures.late_frames),
        ):
            yield CounterMetricFamily(name, meaning, value=value)
        skipped = CounterMetricFamily(
            "coda_skipped_records", "Records of steps that a follower was too slow for.", labels=["follower"]
        )
        for follower, count in measures.skipped_records.items():
            skipped.add_metric([follower], count)
        yield skipped
        overruns = CounterMetricFamily(
            "coda_follower_overruns", "Calls of a follower that took too long.", labels=["follower", "call"]
        )
        failures = CounterMetricFamily(
            "coda_follower_failures", "Calls of a follower that raised.", labels=["follower"]
        )
        left_out = GaugeMetricFamily(
            "coda_follower_quarantined", "1 for a follower that is left out.", labels=["follower"]
        )
        for follower, conduct in measures.followers.items():
            for call, count in conduct.overruns.items():
                overruns.add_metric([follower, call], count)
            failures.add_metric([follower], conduct.failures)
            left_out.add_metric([follower], 1 if conduct.quarantine else 0)
        yield from (overruns, failures, left_out)
        stages = SummaryMetricFamily("coda_stage_seconds", "Where the time of a frame goes.", labels=["stage"])
        for stage, taken in measures.stages_s.items():
            for quantile, field in _QUANTILES:
                labels = {"stage": stage, "quantile": quantile}
                stages.add_sample("coda_stage_seconds", labels, getattr(taken, field))
            stages.add_metric([stage], count_value=taken.count, sum_value=taken.mean * taken.count)
        yield stages
