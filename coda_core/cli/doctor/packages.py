"""Python, the packages that Coda stands on, and those that its components ask for."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Final

from coda_core.cli.doctor.finding import Finding
from coda_core.cli.versions import version_of
from coda_core.interfaces import KINDS
from coda_core.plugins import Registry, missing_modules

__all__ = ["base_packages", "component_packages", "plugins", "python"]

DISTRIBUTION: Final = "coda-core"


def python() -> Iterator[Finding]:
    yield Finding("ok", "python", f"{platform.python_version()} at {sys.executable}, on {platform.platform()}")


def base_packages() -> Iterator[Finding]:
    """Yield one finding for each package of the base install."""
    yield Finding("ok", DISTRIBUTION, metadata.version(DISTRIBUTION))
    for requirement in metadata.requires(DISTRIBUTION) or []:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        if name is None or "extra ==" in requirement:
            continue
        try:
            yield Finding("ok", name[0], metadata.version(name[0]))
        except metadata.PackageNotFoundError:
            yield Finding("fail", name[0], "not installed", f"pip install --upgrade {DISTRIBUTION}")


def plugins(registry: Registry) -> Iterator[Finding]:
    """Yield whether every plugin could be loaded; one of Coda's own that could not is a failure."""
    for plugin in registry.broken:
        own = plugin.distribution == DISTRIBUTION
        remedy = f"Install {plugin.distribution} anew, or disable it: CODA_DISABLED_PLUGINS={plugin.name}"
        yield Finding("fail" if own else "warn", f"plugin {plugin.name}", plugin.reason, remedy)
    loaded = ", ".join(plugin.name for plugin in registry.plugins) or "none"
    yield Finding("ok", "plugins", loaded)


def component_packages(registry: Registry) -> Iterator[Finding]:
    """Yield what components need beyond the base install."""
    for kind in KINDS:
        for one in registry.components(kind):
            requires = one.component.requires
            if requires is None:
                continue
            about = f"{kind} {one.component.name}"
            missing = missing_modules(requires)
            if missing:
                remedy = f"pip install '{requires.install}'"
                yield Finding("warn", about, f"not installed: {', '.join(missing)}", remedy)
            else:
                versions = (f"{module} {version_of(module)}".rstrip() for module in requires.modules)
                yield Finding("ok", about, ", ".join(versions))
