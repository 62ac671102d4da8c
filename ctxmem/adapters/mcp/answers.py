"""What the tools, resources and the prompt of a server answer, as text; knows the store, and nothing of the protocol.

I1. Every answer is bounded (`sheet`), and one that leaves something out says how to ask for it.
I2. Nothing out of `reach` is shown, counted or told apart from what does not exist.
I3. What a model got wrong raises a `CtxMemError` whose text is a sentence for the model.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ctxmem import inputs, tokens
from ctxmem.adapters.mcp import tools
from ctxmem.adapters.mcp.arguments import Arguments
from ctxmem.adapters.mcp.reach import Reach
from ctxmem.adapters.mcp.sheet import ANSWER_TOKENS, Sheet, about, as_json, encodable, exact, excerpt, one_line
from ctxmem.errors import BadInput
from ctxmem.memory import Memory, log_of
from ctxmem.prompt.memorytools import PAGE_TOKENS
from ctxmem.prompt.quotes import words_of
from ctxmem.prompt.recall import compose, plain_query
from ctxmem.search.query import Query
from ctxmem.segment import MAX_ID, Record

_EXCERPTS_TOKENS = 2_400  # of all the excerpts of one answer
_EXCERPT_TOKENS = (60, 400)  # of each, at least and at most
_AROUND_TOKENS = 1_500
_RECALL_TOKENS = 3_000
_RECALL_HITS = 8
_ALIAS_HITS = 10
_QUERY_CHARS = 2_000
_NAME_CHARS = inputs.MAX_KEY_BYTES
_LISTED = 40  # segments of a session's page
# A note must not pass for what a user or a model said.
_ROLES = frozenset({"user", "assistant", "system", "developer", "tool", "function", "model", "recall"})
_WORDS = "a text of two to six distinctive words"


class Answers:
    """The answers of one server. Safe from any thread."""

    def __init__(self, memory: Memory, reach: Reach, offered: Mapping[str, tools.Tool]) -> None:
        self._memory = memory
        self._log = log_of(memory)
        self._reach = reach
        self._offered = offered
        self._by_name: dict[str, Callable[[Arguments], str]] = {
            tools.SEARCH.name: self._search,
            tools.READ.name: self._read,
            tools.RECENT.name: self._recent,
            tools.ADD.name: self._add,
            tools.FORGET.name: self._forget,
            tools.ALIAS_SEARCH.name: self._alias_search,
            tools.ALIAS_FETCH.name: self._alias_fetch,
        }

    def call(self, name: str, given: Mapping[str, Any]) -> str:
        """Answer a call of a tool.

        Raises:
            CtxMemError: it cannot be answered; its text says why, to the model.
        """
        tool = self._offered.get(name)
        if tool is None:
            raise BadInput(f"There is no tool {inputs.shown(name)} here; there are: {', '.join(self._offered)}.")
        return self._by_name[name](Arguments(name, given, tool.properties))

    # -- finding ------------------------------------------------------------------------------------------------------

    def _search(self, given: Arguments) -> str:
        text = given.needed("query", inputs.MAX_TEXT_CHARS, _WORDS)[:_QUERY_CHARS]
        limit, offset = given.whole("limit", 5, 1, tools.MAX_HITS), given.whole("offset", 0, 0, tools.MAX_OFFSET)
        found = self._find(
            text,
            offset + limit + 1,
            sessions=self._reach.narrowed(given.text("session", _NAME_CHARS)),
            since=given.moment("since"),
            until=given.moment("until"),
            facets=inputs.filters({"file": given.text("file", _NAME_CHARS), "tags": given.text("tag", _NAME_CHARS)}),
            kind=_kind(given),
        )
        if not found[offset:]:
            return "Nothing more." if found else "Nothing found. Try other words, such as names, paths or numbers."
        return self._excerpts(tools.SEARCH, found, text, offset, limit)

    def _recent(self, given: Arguments) -> str:
        limit, offset = given.whole("limit", 10, 1, tools.MAX_RECENT), given.whole("offset", 0, 0, tools.MAX_OFFSET)
        sessions = self._reach.narrowed(given.text("session", _NAME_CHARS))
        found = self._ids(Query(), offset + limit + 1, sessions=sessions, kind=_kind(given))
        if not found[offset:]:
            return "Nothing more." if found else "Nothing is stored here yet."
        return self._excerpts(tools.RECENT, found, "", offset, limit)

    def _find(self, text: str, limit: int, **conditions: Any) -> list[int]:
        query = plain_query(text)
        if query is None:
            raise BadInput("The query holds only common words. Use names, paths, numbers or error text.")
        return self._ids(query, limit, **conditions)

    def _ids(self, query: Query, limit: int, *, sessions: set[int] | None, **conditions: Any) -> list[int]:
        if sessions is not None and not sessions:
            return []
        return [hit.id for hit in self._log.index.search(query, limit=limit, sessions=sessions, **conditions)]

    def _excerpts(self, tool: tools.Tool, found: Sequence[int], text: str, offset: int, limit: int) -> str:
        """Quote what was found from `offset` on; `found` holds one more than is wanted where there is more."""
        sheet, words, shown = Sheet(), words_of(text), 0
        for segment_id in found[offset : offset + limit]:
            if not sheet.add(self._excerpt(segment_id, words, _share(_EXCERPTS_TOKENS, limit))):
                break
            shown += 1
        if len(found) > offset + shown:
            goes_on = offset + shown <= tools.MAX_OFFSET
            sheet.add(f"[more: {tool.name} with offset={offset + shown}]" if goes_on else "[more: narrow the search]")
        return sheet.text()

    def _excerpt(self, segment_id: int, words: frozenset[str], limit_tokens: int) -> str:
        record = self._log.get(segment_id)
        return excerpt(self._about(segment_id, record), self._text(record), words, limit_tokens)

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self, given: Arguments) -> str:
        segment_id = given.whole("id", None, 0, MAX_ID)
        before = given.whole("before", 0, 0, tools.MAX_AROUND)
        after = given.whole("after", 0, 0, tools.MAX_AROUND)
        record = self._reach.record(segment_id)
        earlier, later = self._around(segment_id, record, before, after)
        share = _share(_AROUND_TOKENS, len(earlier) + len(later))
        text = self._text(record)
        offset = given.whole("offset", 0, 0, max(len(text) - 1, 0))

        def more(stop: int) -> str:
            return f"{tools.READ.name}(id={segment_id}, offset={stop})"

        middle = exact(self._about(segment_id, record), text, offset, PAGE_TOKENS, more)
        left_out, sheet = 0, Sheet()
        for one in (*earlier, None, *later):
            part = middle if one is None else self._excerpt(one, frozenset(), share)
            left_out += not sheet.add(part)
        if left_out:
            sheet.add(f"[{left_out} left out: ask for fewer items around it]")
        return sheet.text()

    def _around(self, segment_id: int, record: Record, before: int, after: int) -> tuple[list[int], list[int]]:
        """Return the ids that stand before and after a segment in its session."""
        if not before and not after:
            return [], []
        ids = self._log.index.session_ids(record.session)
        at = bisect_left(ids, segment_id)
        return ids[max(0, at - before) : at], ids[at + 1 : at + 1 + after]

    def _text(self, record: Record) -> str:
        """Return a segment's text; that of a recall is what it quotes, as far as that is in reach."""
        if record.text or not record.facts.quotes:
            return record.text
        numbers = self._reach.numbers()
        read = self._log.get
        return compose(
            (q for q in record.facts.quotes if numbers is None or read(q.segment_id).session in numbers), read
        )

    def _about(self, segment_id: int, record: Record) -> str:
        return about(segment_id, record, self._log.session_name(record.session))

    # -- writing ------------------------------------------------------------------------------------------------------

    def _add(self, given: Arguments) -> str:
        text = given.needed("text", tools.MAX_TEXT_CHARS, "the text to keep")
        kind = given.text("kind", _NAME_CHARS) or "note"
        if kind.strip().lower() in _ROLES:
            raise BadInput(f"A note cannot be of the kind {kind!r}: that is what was said. Use note, decision or fact.")
        tags = given.texts("tags", tools.MAX_TAGS, inputs.MAX_FACET_BYTES)
        key = given.text("key", _NAME_CHARS)
        added = self._memory.add(text, kind=kind, session=self._reach.own, key=key, tags=tags or None)
        self._memory.flush()
        return f"Kept as [#{added.id}]."

    def _forget(self, given: Arguments) -> str:
        segment_id = given.whole("id", None, 0, MAX_ID)
        record = self._reach.record(segment_id)
        if not self._reach.is_own(record):
            raise BadInput(f"[#{segment_id}] belongs to a session that is only read here; it stays.")
        if record.facts.is_forgotten:
            return f"[#{segment_id}] was erased already."
        self._memory.forget(segment_id)
        return f"Erased [#{segment_id}]."

    # -- the tools of OpenAI's connectors -----------------------------------------------------------------------------

    def _alias_search(self, given: Arguments) -> str:
        text = given.needed("query", inputs.MAX_TEXT_CHARS, _WORDS)[:_QUERY_CHARS]
        results: list[dict[str, str]] = []
        answer = as_json({"results": results})
        for segment_id in self._find(text, _ALIAS_HITS, sessions=self._reach.numbers()):
            results.append(self._result(segment_id, self._log.get(segment_id)))
            longer = as_json({"results": results})
            if tokens.count(longer) > ANSWER_TOKENS:
                break
            answer = longer
        return answer

    def _alias_fetch(self, given: Arguments) -> str:
        number, _, start = given.needed("id", 100, "an id that search returned").partition(":")
        whole = Arguments(tools.ALIAS_FETCH.name, {"id": number, "offset": start or 0}, ("id", "offset"))
        segment_id = whole.whole("id", None, 0, MAX_ID)
        record = self._reach.record(segment_id)
        offset = whole.whole("offset", 0, 0, max(len(self._text(record)) - 1, 0))
        page_tokens = PAGE_TOKENS
        while True:  # JSON doubles what is full of line breaks
            answer = as_json(self._fetched(segment_id, record, offset, page_tokens))
            if tokens.count(answer) <= ANSWER_TOKENS or page_tokens < _EXCERPT_TOKENS[0]:
                return answer
            page_tokens //= 2

    def _fetched(self, segment_id: int, record: Record, offset: int, page_tokens: int) -> dict[str, Any]:
        metadata = {"kind": record.kind}

        def more(stop: int) -> str:
            metadata["next"] = f"{segment_id}:{stop}"
            return f"fetch {metadata['next']}"

        text = exact(self._about(segment_id, record), self._text(record), offset, page_tokens, more)
        return {**self._result(segment_id, record), "text": text, "metadata": metadata}

    def _result(self, segment_id: int, record: Record) -> dict[str, str]:
        title = f"{self._about(segment_id, record)}: {one_line(self._text(record))}"
        return {"id": str(segment_id), "title": title, "url": f"ctxmem://segment/{segment_id}"}

    # -- resources and the prompt -------------------------------------------------------------------------------------

    def segment_page(self, segment_id: int, offset: int) -> str:
        """Return a page of one segment, exact.

        Raises:
            CtxMemError: there is none in reach, or it ends before `offset`.
        """
        record = self._reach.record(segment_id)
        text = self._text(record)
        if offset >= max(len(text), 1):
            raise BadInput(f"[#{segment_id}] has {len(text)} characters; offset={offset} is beyond its end.")
        sheet = Sheet()
        more = f"ctxmem://segment/{segment_id}?offset={{}}".format
        sheet.add(exact(self._about(segment_id, record), text, offset, PAGE_TOKENS, more))
        return sheet.text()

    def session_page(self, name: str, before: int, link: str) -> str:
        """Return the newest segments of a session below the id `before`, in order, as excerpts; `link` is its address.

        Raises:
            CtxMemError: there is no such session in reach.
        """
        ids = self._log.index.session_ids(self._reach.number(name))
        ids = ids[: bisect_left(ids, before)]
        parts = [self._excerpt(i, frozenset(), _EXCERPT_TOKENS[0]) for i in ids[-_LISTED:]]
        sheet = Sheet()
        if len(ids) > len(parts):
            sheet.add(f"[earlier: {link}?before={ids[-_LISTED]}]")
        for part in parts:
            if not sheet.add(part):
                sheet.add("[the rest is left out: use memory_recent]")
                break
        return sheet.text()

    def recalled(self, topic: str) -> str:
        """Return what the memory holds on a topic, for the start of a conversation.

        Raises:
            BadInput: the topic names nothing that can be looked for.
        """
        found = self._find(topic[:_QUERY_CHARS], _RECALL_HITS, sessions=self._reach.numbers())
        sheet, words = Sheet(_RECALL_TOKENS), words_of(topic)
        for segment_id in found:
            if not sheet.add(self._excerpt(segment_id, words, _share(_EXCERPTS_TOKENS, len(found)))):
                break
        head = f"What the memory holds on {one_line(topic, 200)}, best first. memory_read(id) shows an item whole.\n\n"
        return encodable(head) + (sheet.text() if found else "Nothing was found.")


def _kind(given: Arguments) -> str | None:
    kind = given.text("kind", inputs.MAX_FACET_BYTES)
    return kind if kind is None else inputs.short(kind, "kind", inputs.MAX_FACET_BYTES)


def _share(all_tokens: int, parts: int) -> int:
    """Return the tokens of each of so many excerpts."""
    least, most = _EXCERPT_TOKENS
    return max(least, min(most, all_tokens // max(parts, 1)))
