"""Count the FFTs that PyTorch makes, those of automatic differentiation too."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class CountTransforms(TorchDispatchMode):
    """Within it, complex FFTs are counted in units of one pattern.

    Parameters
    ----------
    m : int
        Edge of a pattern.
    """

    def __init__(self, m: int) -> None:
        super().__init__()
        self.count, self._pattern = 0.0, m * m

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count and compute."""
        if func is torch.ops.aten._fft_c2c.default:
            self.count += args[0].numel() / self._pattern
        return func(*args, **(kwargs or {}))
