"""What an installed ctxmem is made of: names, version, types, data, licences, and no more dependencies than are named."""

import ast
import importlib.metadata
import importlib.resources
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import ctxmem

ROOT = Path(__file__).resolve().parent.parent


def test_the_distribution_and_the_import_agree_on_the_version():
    assert importlib.metadata.version("ctxmem-engine") == ctxmem.__version__


def test_the_command_is_there():
    scripts = importlib.metadata.entry_points(group="console_scripts", name="ctxmem")

    assert [script.value for script in scripts] == ["ctxmem.cli:main"]


def test_types_and_data_are_in_the_package():
    files = importlib.resources.files("ctxmem")

    assert files.joinpath("py.typed").is_file()
    assert files.joinpath("data/o200k_base.xz").is_file()
    assert files.joinpath("data/models.json.gz").is_file()


def imported(paths) -> set[str]:
    """Third-party packages that these files import."""
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"ctxmem"}


def test_every_dependency_is_imported_and_every_import_is_a_dependency():
    names = {"pystemmer": "Stemmer"}
    declared = {
        names.get(name, name)
        for requirement in importlib.metadata.requires("ctxmem-engine") or []
        if "extra ==" not in requirement
        for name in [re.split(r"[^A-Za-z0-9_-]", requirement)[0].lower()]
    }
    adapters = set((ROOT / "ctxmem/adapters").rglob("*.py"))

    assert imported(set((ROOT / "ctxmem").rglob("*.py")) - adapters) == declared


def test_every_adapter_has_an_extra_of_its_name():
    adapters = {one.name.removesuffix(".py") for one in (ROOT / "ctxmem/adapters").iterdir()} - {
        "__init__",
        "__pycache__",
        "shelf",  # what several adapters share
        "hook",  # what the adapters that own the prompt share
    }
    table = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.optional-dependencies]")[2]
    extras = set(re.findall(r"^(\S+) = \[", table.partition("\n[")[0], re.MULTILINE))

    assert {one.replace("_", "-") for one in adapters} <= extras


def test_the_changelog_has_a_place_for_what_comes_next():
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(tmp_path):
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if "No module named hatchling" in built.stderr:
        pytest.skip("hatchling is not installed here")
    assert built.returncode == 0, built.stderr

    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()

    assert all(name.startswith(("ctxmem/", "ctxmem_engine-")) for name in names)
    assert {"ctxmem/py.typed", "ctxmem/data/o200k_base.xz", "ctxmem/data/models.json.gz"} <= set(names)
    assert {"LICENSE", "NOTICE"} <= {Path(name).name for name in names}
