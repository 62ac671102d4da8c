"""Readers of what other programs wrote: a path in, messages or items out, streamed.

    formats      which reader fits a path, and the table of readers
    entry        what a reader of conversations yields, and the messages that readers make
    claude_code  Claude Code: its lines, its subagents and its large results
    codex        Codex: its rollouts
    atif         ATIF, the interchange format
    chatgpt      ChatGPT's export
    langchain    LangChain messages, dumped either way
    pydantic_ai  Pydantic AI message history
    gemini_cli   Gemini CLI: its sessions
    sharegpt     ShareGPT, as training sets have it
    chat         OpenAI messages: a bare list, {"messages": [...]}, JSONL of either, or JSONL of single messages
    stash        the old JSON stash {"segments": [...]} of any size, in constant memory
    logfiles     the log of many agents, as `ctxmem export` writes it
    text         plain text and source trees, cut into chunks at line ends
    lines        JSONL as programs leave it
    pull         a pull parser over JSON text, which the others stand on
    fitting      names made such that the store takes them

A later format is one more module with `fits(head)` and `read(path, skipped)`, and one more row in `formats`.
Nothing here knows of stores: a reader gives values, the caller writes them.
"""

from ctxmem.transcripts.chat import Conversation
from ctxmem.transcripts.entry import Entry
from ctxmem.transcripts.formats import FORMATS, ITEMS, conversations, detect, each_file, entries, items

__all__ = ["FORMATS", "ITEMS", "Conversation", "Entry", "conversations", "detect", "each_file", "entries", "items"]
