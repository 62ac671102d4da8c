"""An adapter whose package is not installed says which command installs it."""

import importlib
import sys

import pytest

import ctxmem

PACKAGES = {
    "anthropic": ("anthropic", "anthropic"),
    "langchain": ("langchain_core", "langchain"),
    "langgraph": ("langgraph", "langgraph"),
    "openai_agents": ("agents", "openai-agents"),
    "pydantic_ai": ("pydantic_ai", "pydantic-ai"),
}


@pytest.fixture
def fresh(monkeypatch):
    """Import an adapter anew, with one package missing."""

    def imported(adapter, package):
        name = f"ctxmem.adapters.{adapter}"
        for module in [m for m in sys.modules if m.partition(".")[0] == package or m.startswith(name)]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, package, None)
        return importlib.import_module(name)

    return imported


@pytest.mark.parametrize("adapter", PACKAGES)
def test_the_error_names_the_command(adapter, fresh):
    package, extra = PACKAGES[adapter]
    with pytest.raises(ctxmem.PackageMissing, match=rf"pip install 'ctxmem-engine\[{extra}\]'") as caught:
        fresh(adapter, package)

    assert caught.value.extra == extra


def test_the_store_of_transcripts_asks_for_its_package_when_it_is_made(tmp_path, monkeypatch):
    from ctxmem.adapters.claude_agent import TranscriptStore

    monkeypatch.setitem(sys.modules, "claude_agent_sdk", None)
    with (
        ctxmem.open(tmp_path / "s") as memory,
        pytest.raises(ctxmem.PackageMissing, match=r"pip install 'ctxmem-engine\[claude-agent\]'"),
    ):
        TranscriptStore(memory)
