"""Conversations played into a context: messages that repeat, tool rounds by name, and what a prompt is compared by."""

import json

import ctxmem

MODELS = {
    "openai": "gpt-4.1",
    "openai-responses": "gpt-4.1",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-pro",
}
FAST = ctxmem.Options(durability="unsafe")


def fast(**chosen) -> ctxmem.Options:
    """Options without a flush: what is tested here is not the disk."""
    return ctxmem.Options(durability="unsafe", **chosen)


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def assistant(text: str | None, *calls: tuple) -> dict:
    """An assistant's message in OpenAI's shape; calls are (id, name, arguments)."""
    message: dict = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {"id": i, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for i, name, arguments in calls
        ]
    return message


def tool(call_id: str, text: str) -> dict:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def exchange(context, number: int, words: int = 40) -> list[int]:
    """One user message, a call, its result and an answer, each of them new words; returns the ids."""
    said = [context.append(user(f"question {number} about part{number}.py " + "please look " * (words // 4)))]
    said.append(context.append(assistant(None, (f"call_{number}", "read_file", {"path": f"part{number}.py"}))))
    said.append(context.result(f"call_{number}", f"def part{number}():\n" + f"    value{number} = {number}\n" * words))
    said.append(context.append(assistant(f"part{number} is fine " + "and so on " * (words // 4))))
    return [segment.id for segment in said]


def fill(context, exchanges: int, words: int = 40, start: int = 0) -> list[int]:
    """Exchanges with a turn after each: enough of them collect."""
    ids = []
    for number in range(start, start + exchanges):
        ids += exchange(context, number, words)
        context.assemble()
    return ids


def text_of(prompt) -> str:
    """All that a prompt says, as JSON."""
    return json.dumps([prompt.system, prompt.messages], ensure_ascii=False)


def seen(prompt) -> dict:
    """What two equal prompts are equal in."""
    fields = ("tokens", "budget", "exact", "turn", "segments", "stubs", "closed", "stable_prefix_tokens")
    return {"kwargs": prompt.kwargs(), **{name: getattr(prompt, name) for name in fields}}


def blocks(prompt) -> list[str]:
    """The prompt in the smallest pieces that stay whole: Anthropic merges messages of one role."""
    found = []
    for message in prompt.messages:
        content = message.get("content")
        if prompt.provider == "anthropic" and isinstance(content, list):
            found += [json.dumps([message["role"], block], sort_keys=True) for block in content]
        else:
            found.append(json.dumps(message, sort_keys=True))
    return found
