"""Pictures of how the losses fell."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["plot_losses"]


def plot_losses(folder: Path) -> list[Path]:
    """Write ``<stage>.png`` for each stage of a run that has losses, and return the files."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    written: list[Path] = []
    for log in sorted(folder.glob("*/losses.jsonl")):
        entries = [json.loads(line) for line in log.read_text().splitlines()]
        names = [name for name in entries[-1] if name not in ("step", "minutes")]
        figure, axes = pyplot.subplots(1, len(names), figsize=(3.2 * len(names), 3), squeeze=False)
        for axis, name in zip(axes[0], names, strict=True):
            axis.plot([entry["step"] for entry in entries], [entry[name] for entry in entries])
            axis.set_title(name.replace("_", " "))
            axis.set_xlabel("step")
            axis.grid(alpha=0.3)
        figure.suptitle(log.parent.name)
        figure.tight_layout()
        path = folder / f"{log.parent.name}.png"
        figure.savefig(path, dpi=100)
        pyplot.close(figure)
        written.append(path)
    return written
