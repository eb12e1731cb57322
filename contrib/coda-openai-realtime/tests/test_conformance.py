from coda_core.testing.conformance import TransportConformance

from coda_openai_realtime.register import coda_register_transports


class TestOpenaiRealtime(TransportConformance):
    component = coda_register_transports()[0]
    settings = {"port": 0}  # noqa: RUF012
