"""Plugins: found, checked against the contract, loaded, and kept by what they offer."""

from coda_core.plugins.loading import load_plugins
from coda_core.plugins.registry import BrokenPlugin, Conflict, Plugin, Registered, Registry, missing_modules, require

__all__ = [
    "BrokenPlugin",
    "Conflict",
    "Plugin",
    "Registered",
    "Registry",
    "load_plugins",
    "missing_modules",
    "require",
]
