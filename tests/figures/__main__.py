"""`python tests/figures`, as `command.py` describes it."""

import importlib
import sys
from pathlib import Path

# Run by the name of its folder, this file is of no package.
sys.path[0] = str(Path(__file__).resolve().parents[1])
sys.exit(importlib.import_module("figures.command").main())
