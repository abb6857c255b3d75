"""Print the requirements of extras of pyproject.toml, one a line.

    python .ci/requirements.py test dev | pip install -r /dev/stdin

With an extra pip would install the project again, too, and its kernels would be compiled again.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
print("\n".join(line for extra in sys.argv[1:] for line in project["optional-dependencies"][extra]))
