"""Prints what torch sees, as JSON. Run in a process of its own."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["look"]


def look() -> dict[str, Any]:
    """Import torch and return its version and its CUDA devices."""
    import torch

    devices = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        devices.append({"name": torch.cuda.get_device_name(index), "free_bytes": free, "total_bytes": total})
    return {"version": torch.__version__, "cuda": torch.version.cuda, "devices": devices}


if __name__ == "__main__":
    print(json.dumps(look()))
