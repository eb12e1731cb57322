"""Plugins made on the spot: modules handed over in process, and distributions in a folder on the path."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import attrs
import pytest

from coda_core.clock import Clock
from coda_core.config import Stack
from coda_core.hookspecs import REGISTRATION_HOOKS, hookimpl
from coda_core.interfaces import CONTRACT_VERSION, Component, Context, Kind, Processor, Requires
from coda_core.kernel import Kernel
from coda_core.plugins import Registry, load_plugins
from coda_core.plugins.registration import register
from coda_core.settings import setting
from coda_core.testing import ScriptedProcessor
from coda_state.config import MemoryStoreConfig
from coda_streaming.config import OfflineConfig


@attrs.frozen(kw_only=True)
class AdapterConfig:
    path: Path = setting(help="File with the weights.")
    scale: float = setting(1.0, help="How much of it to add.", minimum=0, maximum=2)


@attrs.frozen(kw_only=True)
class ModelConfig:
    """Has a setting of every type that there is."""

    model_path: str = setting("tiny", help="Repository or folder.")
    device: Literal["auto", "cpu", "cuda"] = setting("auto", help="Where it runs.")
    levels: Literal[1, 2, 4] = setting(1, help="Codebook levels.")
    conversations: int = setting(1, help="How many at once.", minimum=1, maximum=64)
    temperature: float = setting(0.7, help="Sampling temperature.", minimum=0)
    greedy: bool = setting(False, help="Take the likeliest token.")
    revision: str | None = setting(None, help="a commit, 4 to 40 hexadecimal digits", pattern="[0-9a-f]{4,40}")
    cache: Path | None = setting(None, help="Folder for downloads.")
    layers: tuple[int, ...] = setting((), help="Which layers.", minimum=0)
    token: str | None = setting(None, help="Password of the hub.", secret=True)
    pin: int | None = setting(None, help="Number to unlock with.", secret=True, maximum=9999)
    adapters: tuple[AdapterConfig, ...] = setting((), help="Weights to add.")
    first_adapter: AdapterConfig | None = setting(None, help="The one to begin with.")


@attrs.frozen
class EchoConfig:
    delay_frames: int = setting(2, help="Frames to wait.", minimum=0)


@attrs.frozen
class ToneConfig:
    frequency_hz: float = setting(help="Pitch in Hz.", minimum=20)


@attrs.frozen
class WordsConfig:
    retention_seconds: float = setting(300.0, help="How long text is kept.")


@attrs.frozen
class PhrasesConfig:
    pass


@attrs.frozen
class LiveConfig:
    buffer_frames: int = setting(100, help="Frames that may wait.", minimum=1)


@attrs.frozen
class FastConfig:
    pass


@attrs.frozen
class ManagerConfig:
    pass


@attrs.frozen
class MemoryConfig:
    pass


@attrs.frozen
class DiskConfig:
    path: Path = setting(Path("conversations.db"), help="Database file.")


@attrs.frozen
class SocketConfig:
    port: int = setting(8998, help="TCP port.", minimum=1, maximum=65535)
    token: str | None = setting(None, help="Password.", secret=True)


@attrs.frozen
class FolderConfig:
    path: Path | None = setting(None, help="Where to write.")
    stereo_path: Path | None = setting(None, help="Where to write both sides.")

    def __attrs_post_init__(self) -> None:
        if self.path is None and self.stereo_path is None:
            raise ValueError("no file is named; give path or stereo_path")


def build_nothing(config: Any, context: Context) -> Any:
    return nullcontext()


def component(name: str, config: type, requires: Requires | None = None) -> Component[Any]:
    return Component(name, f"The component {name}.", config, build_nothing, requires)


def module_with(name: str, hooks: dict[str, Callable[..., Any]], contract: object = CONTRACT_VERSION) -> ModuleType:
    """Return a plugin's module with functions as its hooks; a contract of None leaves the variable out."""
    module = ModuleType(name)
    if contract is not None:
        vars(module)["CODA_CONTRACT"] = contract
    for hook, function in hooks.items():
        vars(module)[hook] = hookimpl(function)
    return module


def plugin_of(name: str, kinds: dict[Kind, Sequence[Component[Any]]]) -> ModuleType:
    """Return the module of a plugin that registers components and does nothing else."""

    def returning(components: Sequence[Component[Any]]) -> Callable[[], Sequence[Component[Any]]]:
        return lambda: list(components)

    return module_with(name, {REGISTRATION_HOOKS[kind]: returning(of_kind) for kind, of_kind in kinds.items()})


def registry_of(*modules: ModuleType, distribution: str = "coda-test") -> Registry:
    """Return a registry with the plugins in `modules` and none of those installed here."""
    loaded = [register(module.__name__, distribution, "1.0", module) for module in modules]
    return Registry(
        plugins=tuple(one.plugin for one in loaded),
        registered=tuple(registered for one in loaded for registered in one.registered),
    )


@attrs.frozen
class Kit:
    """The classes and functions above, for tests: test modules do not import each other."""

    adapter = AdapterConfig
    model = ModelConfig
    echo = EchoConfig
    tone = ToneConfig
    words = WordsConfig
    phrases = PhrasesConfig
    live = LiveConfig
    fast = FastConfig
    manager = ManagerConfig
    disk = DiskConfig
    memory = MemoryConfig
    socket = SocketConfig
    folder = FolderConfig
    component = staticmethod(component)
    module_with = staticmethod(module_with)
    plugin_of = staticmethod(plugin_of)
    registry_of = staticmethod(registry_of)

    registry: Registry
    """Has every kind, the defaults' names among them."""


@pytest.fixture(scope="session")
def kit() -> Kit:
    plugin = plugin_of(
        "kit",
        {
            "audio_source": [component("tone", ToneConfig)],
            "processor": [component("moshi", ModelConfig), component("echo", EchoConfig)],
            "monologue_extractor": [component("inner-monologue", WordsConfig), component("phrases", PhrasesConfig)],
            "streaming_manager": [component("realtime", LiveConfig), component("offline", FastConfig)],
            "state_manager": [component("conversation", ManagerConfig)],
            "state_store": [component("memory", MemoryConfig), component("sqlite", DiskConfig)],
            "transport": [component("websocket", SocketConfig), component("file", FolderConfig)],
        },
    )
    return Kit(registry_of(plugin))


@attrs.frozen
class Site:
    """A folder of installed distributions, the only one on the path beside the standard library."""

    folder: Path

    def install(self, distribution: str, version: str, entry_points: str, files: dict[str, str]) -> None:
        """Lay out a distribution as an installer does: its files, its metadata and its entry points."""
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        info.joinpath("METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n", encoding="utf-8"
        )
        info.joinpath("entry_points.txt").write_text(entry_points, encoding="utf-8")
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def install_plugin(self, name: str, source: str, *, distribution: str, version: str = "1.0") -> None:
        """Install a distribution with one plugin, in one module of the plugin's name."""
        self.install(distribution, version, f"[coda]\n{name} = {name}\n", {f"{name}.py": source})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    standard = [entry for entry in sys.path if "site-packages" not in entry]
    monkeypatch.setattr(sys, "path", [str(folder), *standard])
    monkeypatch.delenv("CODA_DISABLED_PLUGINS", raising=False)
    importlib.invalidate_caches()
    yield Site(folder)
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


@attrs.frozen
class ScriptedConfig:
    key: str = ""


MakeKernel = Callable[..., Kernel]


@pytest.fixture
def scripted_kernel() -> MakeKernel:
    """Make a kernel of real parts around a processor: ``scripted_kernel(processor, clock=..., **parts_of_a_stack)``."""
    processors: dict[str, Processor] = {}

    @contextmanager
    def open_scripted(config: ScriptedConfig, context: Context) -> Iterator[Processor]:
        yield processors[config.key]

    scripted = Component("scripted", "Follows a script.", ScriptedConfig, open_scripted)
    registry = load_plugins(modules=[("scripted", plugin_of("scripted", {"processor": [scripted]}))])

    def make(processor: Processor | None = None, *, clock: Clock | None = None, **parts: Any) -> Kernel:
        key = str(len(processors))
        processors[key] = processor or ScriptedProcessor()
        chosen = {"streaming_manager": OfflineConfig(), "state_store": MemoryStoreConfig(), **parts}
        return Kernel(Stack(processor=ScriptedConfig(key), **chosen), registry=registry, clock=clock)

    return make
