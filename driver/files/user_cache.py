"""Where measurements of a machine are kept for this user."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder, which need not be there: $XDG_CACHE_HOME/ptyxrf or ~/.cache/ptyxrf."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ptyxrf"
