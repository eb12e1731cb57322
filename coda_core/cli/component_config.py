"""The config of a component that a command chooses by name."""

from __future__ import annotations

from typing import Any

from coda_core.errors import ConfigError, PluginError, Problem
from coda_core.interfaces import Kind
from coda_core.plugins import Registry

__all__ = ["component_config"]


def component_config(registry: Registry, kind: Kind, name: str, /, *, source: str, **settings: Any) -> Any:
    """Return a config with `settings`; raises `ConfigError`, on behalf of the command `source`."""
    try:
        return registry.get(kind, name).component.config(**settings)
    except (PluginError, ValueError) as error:
        raise ConfigError([Problem(kind, str(error))], source) from None
