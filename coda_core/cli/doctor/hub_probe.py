"""Asks the model hub for its front page, and prints how that went as JSON.

Run in a process of its own: looking up a host's name knows no time limit.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Any, Final

__all__ = ["HUB", "TIMEOUT_S", "look"]

HUB: Final = "https://huggingface.co"
TIMEOUT_S: Final = 3.0


def look() -> dict[str, Any]:
    """Return the hub's address and what it answered: an HTTP status, or why there is none."""
    address = os.environ.get("HF_ENDPOINT") or HUB
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=TIMEOUT_S) as response:
            return {"address": address, "status": response.status}
    except urllib.error.HTTPError as error:
        return {"address": address, "status": error.code}
    except (OSError, ValueError) as error:
        return {"address": address, "error": str(getattr(error, "reason", error))}


if __name__ == "__main__":
    print(json.dumps(look()))
