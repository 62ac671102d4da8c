"""LangGraph's long-term memory: items in namespaces, each a segment, so that `Memory.search` finds them too.

I1. An item is the newest row of its name; a put forgets the rows that it replaces, in the same commit.
I2. Facets narrow a question down; namespace, key and value in the row decide.
I3. A namespace has one row of its own, written with its first item, so that a list of namespaces reads no items. It
    is listed while an item stands in it.
"""

import asyncio
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final, TypeAlias

from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
)
from langgraph.store.base.embed import get_text_at_path

from ctxmem.adapters.shelf import Row, Shelf
from ctxmem.errors import BadInput
from ctxmem.memory import Memory

Namespace: TypeAlias = tuple[str, ...]

_MINUTE_S: Final = 60
_REFRESHED_SHARE: Final = (
    0.1  # of its time to live that has gone before a read renews it: a write for each read is dear
)
_MORE: Final = 4  # times as many rows are asked for where filters left too few
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


class MemoryStore(BaseStore):
    """A `BaseStore` over a memory. Safe from any thread; several processes may use one store.

    A query ranks by words and gives what matches; without one, what was written last comes first. `fields`: paths to
    the text that a search finds an item by, as LangGraph's `index` argument has them; None: every value in the item.
    `ttl`: as LangGraph's configuration; an item past its time is never returned, and `sweep_ttl` erases it.
    """

    supports_ttl = True

    def __init__(self, memory: Memory, *, fields: Sequence[str] | None = None, ttl: TTLConfig | None = None) -> None:
        self.ttl_config = ttl
        self._fields = fields
        self._items = Shelf(memory, "store_item")
        self._namespaces = Shelf(memory, "store_namespace")

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Answer the questions first, from what stood before; then make all puts, in one commit."""
        results: list[Result] = []
        puts: dict[tuple[Namespace, str], PutOp] = {}
        renewed: list[int] = []
        for op in ops:
            if isinstance(op, PutOp):
                puts[op.namespace, op.key] = op  # the last put of a name wins
                results.append(None)
            elif isinstance(op, GetOp):
                results.append(self._get(op, renewed))
            elif isinstance(op, SearchOp):
                results.append(self._search(op, renewed))
            elif isinstance(op, ListNamespacesOp):
                results.append(self._list(op))
            else:
                raise BadInput(f"{type(op).__name__} is no operation of a store")
        gone = [*renewed, *(one for op in puts.values() for one in self._put(op))]
        if gone or puts:
            self._items.drop(gone)
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do as `batch`, on a thread."""
        return await asyncio.to_thread(self.batch, list(ops))

    def sweep_ttl(self) -> int:
        """Erase the items past their time; return how many."""
        expired = [row.id for row in self._items.rows(facets={"ttl": "yes"}) if not self._is_live(row)]
        self._items.forget(expired)
        return len(expired)

    def _put(self, op: PutOp) -> list[int]:
        """Add the row of a put; return the ids of those it replaces."""
        path = _path(op.namespace)
        old = [row for row in self._items.rows(facets={"item": _name(op.namespace, op.key)}) if _is_named(row, op)]
        if op.value is not None:
            now = self._items.now()
            item = {
                "namespace": list(op.namespace),
                "key": op.key,
                "value": dict(op.value),
                "created": old[0].value["created"] if old and self._is_live(old[0]) else now,
                "updated": now,
                "ttl": op.ttl,
            }
            self._namespaces.add(
                {"namespace": list(op.namespace)},
                key=f"store_namespace {path}",
                facets={"under": _prefixes(op.namespace)},
            )
            self._add(item, _text(op, self._fields), old[0].at if old else None)
        return [row.id for row in old]

    def _add(self, item: Mapping[str, Any], text: str, after: float | None) -> None:
        namespace = tuple(item["namespace"])
        facets: dict[str, str | Sequence[str]] = {
            "item": _name(namespace, item["key"]),
            "namespace": _path(namespace),
            "under": _prefixes(namespace),
        }
        if item["ttl"] is not None:
            facets["ttl"] = "yes"
        self._items.add(item, text, after=after, facets=facets)

    def _is_live(self, row: Row) -> bool:
        """Say whether a row's time has not run out: it runs from the last write or renewing read."""
        ttl = row.value["ttl"]
        return ttl is None or self._items.now() < row.at + ttl * _MINUTE_S

    def _renew(self, row: Row, renewed: list[int]) -> None:
        """Start an item's time to live anew."""
        ttl = row.value["ttl"]
        if ttl is not None and self._items.now() >= row.at + ttl * _MINUTE_S * _REFRESHED_SHARE:
            self._add(row.value, row.text, row.at)
            renewed.append(row.id)

    def _get(self, op: GetOp, renewed: list[int]) -> Item | None:
        for row in self._items.rows(facets={"item": _name(op.namespace, op.key)}):
            if _is_named(row, op):
                if not self._is_live(row):
                    return None
                if op.refresh_ttl:
                    self._renew(row, renewed)
                return Item(**_fields(row))
        return None

    def _search(self, op: SearchOp, renewed: list[int]) -> list[SearchItem]:
        found = self._matching(op)[max(op.offset, 0) :]
        if op.refresh_ttl:
            for row in found:
                self._renew(row, renewed)
        return [SearchItem(**_fields(row), score=float(row.score) if op.query else None) for row in found]

    def _matching(self, op: SearchOp) -> list[Row]:
        """Return the first rows that pass, up to offset and limit: more are read only where filters left too few."""
        prefix, wanted = tuple(op.namespace_prefix), max(op.offset, 0) + max(op.limit, 0)
        facets = {"under": _path(prefix)} if prefix else {}
        asked = wanted
        while True:
            n = 0
            found: dict[tuple[Namespace, str], Row] = {}
            for row in self._items.rows(op.query or "", limit=asked, facets=facets):
                n += 1
                namespace = tuple(row.value["namespace"])
                is_meant = namespace[: len(prefix)] == prefix and self._is_live(row)
                if is_meant and all(_fits(row.value["value"].get(k), v) for k, v in (op.filter or {}).items()):
                    found.setdefault((namespace, row.value["key"]), row)
                if len(found) == wanted:
                    break
            if len(found) >= wanted or n < asked:
                return list(found.values())
            asked *= _MORE

    def _list(self, op: ListNamespacesOp) -> list[Namespace]:
        conditions = op.match_conditions or ()
        start = next((_fixed(c.path) for c in conditions if c.match_type == "prefix"), ())
        rows = self._namespaces.rows(facets={"under": _path(start)} if start else {})
        named = sorted({tuple(row.value["namespace"]) for row in rows})
        found: list[Namespace] = []
        for namespace in self._inhabited(n for n in named if all(_matches(c, n) for c in conditions)):
            shown = namespace if op.max_depth is None else namespace[: op.max_depth]
            if not found or found[-1] != shown:  # sorted: equal beginnings are neighbours
                found.append(shown)
            if len(found) > op.offset + op.limit:
                break
        return found[op.offset : op.offset + op.limit]

    def _inhabited(self, namespaces: Iterable[Namespace]) -> Iterator[Namespace]:
        """Yield the namespaces in which an item stands."""
        for namespace in namespaces:
            if any(self._is_live(row) for row in self._items.rows(facets={"namespace": _path(namespace)})):
                yield namespace


def _path(namespace: Iterable[str]) -> str:
    """Return a namespace as a facet has it; LangGraph allows no period within a label."""
    return ".".join(namespace)


def _prefixes(namespace: Namespace) -> list[str]:
    return [_path(namespace[:n]) for n in range(1, len(namespace) + 1)]


def _name(namespace: Namespace, key: str) -> str:
    return f"{_path(namespace)}:{key}"


def _is_named(row: Row, op: GetOp | PutOp) -> bool:
    return tuple(row.value["namespace"]) == tuple(op.namespace) and row.value["key"] == op.key


def _fields(row: Row) -> dict[str, Any]:
    item = row.value
    return {
        "namespace": tuple(item["namespace"]),
        "key": item["key"],
        "value": item["value"],
        "created_at": datetime.fromtimestamp(item["created"], timezone.utc),
        "updated_at": datetime.fromtimestamp(item["updated"], timezone.utc),
    }


def _text(op: PutOp, default: Sequence[str] | None) -> str:
    """Return what a search finds an item by: lines of names and values, or what stands at the chosen paths."""
    if op.index is False or op.value is None:
        return ""
    paths = default if op.index is None else op.index
    if paths is None or "$" in paths:
        return "\n".join(_lines(op.value))
    return "\n".join(text for path in paths for text in get_text_at_path(op.value, path))


def _lines(value: Any, name: str = "") -> Iterator[str]:
    """Yield every value with its name, so that a hit reads well to a person and to a model."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _lines(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _lines(inner, name)
    elif value is not None:
        yield f"{name}: {value}"


def _fits(found: Any, wanted: Any) -> bool:
    """Say whether a value passes one condition of a filter: a comparison, conditions on what it holds, or equality."""
    if not isinstance(wanted, Mapping):
        return bool(found == wanted)
    if not any(str(name).startswith("$") for name in wanted):
        return isinstance(found, Mapping) and all(_fits(found.get(k), v) for k, v in wanted.items())
    for name, bound in wanted.items():
        if name not in _COMPARISONS:
            raise BadInput(f"a filter compares with one of {', '.join(_COMPARISONS)}, not {name!r:.40}")
        try:
            if not _COMPARISONS[name](found, bound):
                return False
        except TypeError:
            return False  # a value that has no order, or none with this bound
    return True


def _fixed(path: Sequence[str]) -> Namespace:
    """Return the beginning of a pattern that holds no wildcard."""
    return tuple(path[: path.index("*")]) if "*" in path else tuple(path)


def _matches(condition: MatchCondition, namespace: Namespace) -> bool:
    path = condition.path
    if len(path) > len(namespace):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for label, wanted in zip(part, path, strict=True))
