"""The public surface by signature (docs/reference), and what importing it costs."""

import inspect
import subprocess
import sys

import pytest

import ctxmem

VALUES = {"Call", "Hit", "Problem", "Segment", "Options", "Policy", "Prompt", "Collection", "Violation"}
CALLS = {"open", "tools", "validate"}
CLASSES = {"Memory", "Context", "Logs"}

# Signatures without annotations: names, order, kinds and defaults are what callers depend on.
SIGNATURES = {
    "open": "(path, *, readonly=False, options=None)",
    "tools": "(provider)",
    "validate": "(payload, provider)",
    "Memory.context": (
        "(self, session, *, model, provider=None, window=None, reserve=None, tools=(), reads=(), policy=None)"
    ),
    "Memory.add": "(self, /, text, *, kind='note', session=None, key=None, refs=(), pinned=False, at=None, **facets)",
    "Memory.add_many": "(self, items, *, progress=None)",
    "Memory.get": "(self, id)",
    "Memory.search": (
        "(self, /, query='', *, limit=10, session=None, kind=None, since=None, until=None, explain=False, **facets)"
    ),
    "Memory.pin": "(self, id)",
    "Memory.unpin": "(self, id)",
    "Memory.forget": "(self, id)",
    "Memory.retain": (
        "(self, max_age=None, max_segments=None, max_tokens=None, max_bytes=None, *, session=None, kind=None, "
        "dry_run=False, **facets)"
    ),
    "Memory.flush": "(self)",
    "Memory.aflush": "(self)",
    "Memory.close": "(self)",
    "Memory.check": "(self)",
    "Memory.stats": "(self)",
    "Memory.backup": "(self, path)",
    "Memory.costs": "(self, by='session', *, session=None, model=None, since=None, until=None)",
    "Memory.compact": "(self)",
    "Logs.append": (
        "(self, command, output='', *, entity, space=None, tick=None, tokens_in=0, tokens_out=0, at=None, key=None)"
    ),
    "Logs.entries": (
        "(self, *, entity=None, space=None, tick=None, between=None, mention=None, since=None, until=None, newest=False)"
    ),
    "Logs.query": "(self, text)",
    "Context.system": "(self, content)",
    "Context.append": "(self, /, message, *, key=None, refs=(), pinned=False, at=None, kind=None, **facets)",
    "Context.result": "(self, /, call_id, content, *, error=False, key=None, at=None, **facets)",
    "Context.assemble": "(self, *, recall=None, recall_tokens=None, extra=())",
    "Context.aassemble": "(self, *, recall=None, recall_tokens=None, extra=())",
    "Context.follow": "(self, messages, *, system=None, tools=None, recall=None, recall_tokens=None, extra=())",
    "Context.afollow": "(self, messages, *, system=None, tools=None, recall=None, recall_tokens=None, extra=())",
    "Context.followed": "(self, items, *, read=None, **given)",
    "Context.afollowed": "(self, items, *, read=None, **given)",
    "Context.observe": "(self, usage, *, turn=None, model=None)",
    "Context.plan": "(self, target=None)",
    "Context.collect": "(self, target=None)",
    "Context.restore": "(self, id)",
    "Context.explain": "(self, id)",
    "Context.replay": "(self, turn)",
    "Context.switch": "(self, model, *, provider=None, window=None, reserve=None, tools=None)",
    "Context.rewind": "(self, id)",
    "Context.drop": "(self, id)",
    "Context.fork": "(self, session, *, at=None, model=None)",
    "Context.dispatch": "(self, name, arguments)",
    "Context.close": "(self)",
    "Prompt.kwargs": "(self, **over)",
}
PROPERTIES = {"Memory": {"logs"}, "Context": {"tokens", "budget", "turn", "open_calls"}}
FIELDS = {
    "Segment": [
        "id",
        "session",
        "kind",
        "role",
        "text",
        "message",
        "group",
        "calls",
        "tokens",
        "at",
        "refs",
        "pinned",
        "facets",
    ],
    "Prompt": [
        "messages",
        "system",
        "tools",
        "tokens",
        "budget",
        "exact",
        "turn",
        "segments",
        "stubs",
        "closed",
        "collection",
        "stable_prefix_tokens",
    ],
    "Collection": ["dropped", "stubbed", "kept", "freed_tokens", "reasons", "seconds"],
    "Call": ["id", "name", "arguments"],
    "Policy": [
        "high",
        "low",
        "min_reclaim",
        "ceiling",
        "keep_recent",
        "restore_turns",
        "ledger_share",
        "ledger_tokens",
        "recall_tokens",
        "cache_ttl_s",
    ],
}


def bare(function) -> str:
    """A signature without annotations; a default that is an empty tuple or a value object shows as such."""
    signature = inspect.signature(function)
    parameters = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


def test_all_is_sorted_and_names_the_surface():
    assert ctxmem.__all__ == sorted(ctxmem.__all__)
    assert set(ctxmem.__all__) >= VALUES | CALLS | CLASSES
    assert all(hasattr(ctxmem, name) for name in ctxmem.__all__)


def test_every_error_is_public_and_has_one_root():
    from ctxmem import errors

    kinds = {
        name for name, kind in vars(errors).items() if inspect.isclass(kind) and kind.__module__ == errors.__name__
    }

    assert kinds <= set(ctxmem.__all__)
    assert all(issubclass(getattr(ctxmem, name), ctxmem.CtxMemError) for name in kinds)


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_signature(name):
    found = ctxmem
    for part in name.split("."):
        found = getattr(found, part)

    assert (
        bare(found).replace("options=Options()", "options=None").replace("policy=Policy()", "policy=None")
        == (SIGNATURES[name])
    )


@pytest.mark.parametrize("name", sorted(PROPERTIES))
def test_properties(name):
    for part in PROPERTIES[name]:
        assert isinstance(inspect.getattr_static(getattr(ctxmem, name), part), property), part


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_fields(name):
    kind = getattr(ctxmem, name)
    names = list(getattr(kind, "__dataclass_fields__", {})) or list(inspect.signature(kind).parameters)

    assert set(FIELDS[name]) <= set(names) | {part for part in dir(kind) if not part.startswith("_")}


def test_async_calls_are_coroutines():
    assert inspect.iscoroutinefunction(ctxmem.Context.aassemble)
    assert inspect.iscoroutinefunction(ctxmem.Memory.aflush)


def test_context_search_takes_what_memory_search_takes():
    names = set(inspect.signature(ctxmem.Memory.search).parameters) - {"session"}

    found = inspect.signature(ctxmem.Context.search).parameters
    assert names <= set(found) or any(p.kind is p.VAR_KEYWORD for p in found.values())


def test_every_public_call_says_what_it_does():
    missing = [
        f"{name}.{part}" if part else name
        for name in ctxmem.__all__
        for part in ["", *(p for p in vars(getattr(ctxmem, name)) if not p.startswith("_"))]
        if callable(found := getattr(getattr(ctxmem, name), part) if part else getattr(ctxmem, name))
        and not (inspect.getdoc(found) or "").strip()
    ]

    assert missing == []


@pytest.mark.parametrize("module", ["tiktoken", "openai", "anthropic", "click", "rich"])
def test_importing_ctxmem_does_not_load(module):
    code = f"import sys, ctxmem; sys.exit({module!r} in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
