"""A transport for Coda that speaks the OpenAI Realtime protocol."""
