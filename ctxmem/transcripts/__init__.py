"""Readers of what other programs wrote: a path in, conversations or items out, streamed.

    formats   which reader fits a path, and the table of readers
    chat      OpenAI messages: a bare list, {"messages": [...]}, JSONL of either, or JSONL of single messages
    stash     the old JSON stash {"segments": [...]} of any size, in constant memory
    text      plain text and source trees, cut into chunks at line ends
    names     names made such that the store takes them
    pull      a pull parser over JSON text, which the others stand on

A later format (Claude Code, Codex) is one more module with `read(path)` and one more row in `formats`.
Nothing here knows of stores: a reader gives values, the caller writes them.
"""

from ctxmem.transcripts.chat import Conversation
from ctxmem.transcripts.formats import FORMATS, conversations, detect, items

__all__ = ["FORMATS", "Conversation", "conversations", "detect", "items"]
