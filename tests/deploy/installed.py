"""Find the real programs that a test runs against."""

from __future__ import annotations

import os
import shutil

import pytest


def installed(program: str, package: str) -> str:
    """Return the path of `program`. Without it the test is skipped, except in CI, where that is a failure."""
    if path := shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
        return path
    reason = f"{program} is not installed (Debian package: {package})"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
