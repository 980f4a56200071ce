"""
The real CLI, as in the engine's tests.
"""

from __future__ import annotations

import os
from typing import Final

from tests.engine.conftest import cli_folder, new_stack, python, server, template

__all__ = ["cli_folder", "new_stack", "python", "server", "template"]

IS_FULL: Final = bool(os.environ.get("KF_FULL"))
