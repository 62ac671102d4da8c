"""A LangChain retriever over a memory: a search, its hits as documents."""

from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from ctxmem.errors import BadQuery
from ctxmem.memory import Memory
from ctxmem.segment import Hit


class MemoryRetriever(BaseRetriever):
    """Answers a query with the best `k` hits under the filters, which are those of `Memory.search`.

    `facets` filter by equality. A query of nothing but stop words has no answers.
    """

    memory: Memory
    k: int = 4
    session: str | None = None
    kind: str | None = None
    since: Any = None
    until: Any = None
    facets: Mapping[str, Any] = {}

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        """Search; the asynchronous twin runs this on a thread."""
        del run_manager
        try:
            hits = self.memory.search(
                query,
                limit=self.k if k is None else k,
                session=self.session,
                kind=self.kind,
                since=self.since,
                until=self.until,
                **self.facets,
            )
        except BadQuery:
            return []
        return [_document(hit) for hit in hits]


def _document(hit: Hit) -> Document:
    """Make a document of a hit; its id is the segment's, for `Memory.get` and `Context.restore`."""
    found = hit.segment
    about = {"session": found.session, "kind": found.kind, "role": found.role, "at": found.at, "score": hit.score}
    said = {name: value for name, value in about.items() if value is not None}
    return Document(id=str(found.id), page_content=found.text, metadata={**found.facets, **said})
