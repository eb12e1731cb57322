"""The state store `postgres` for Coda."""
