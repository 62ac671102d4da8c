"""Clients that stand in for the real SDKs: no network, no key, and as strict as the providers are.

They take what the real `create` takes, refuse what the provider would refuse, and answer from a script with the SDK's
own types. An entry of the script is the reply's content, or a function that makes it from the request.
"""

import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any

import anthropic.types
import openai.types.chat

import ctxmem

Entry = Any


def call(name: str, **arguments: Any) -> dict[str, Any]:
    """A tool call for a script."""
    return {"name": name, "arguments": arguments}


class _Scripted:
    """Takes requests, keeps them for a look, and gives the next entry of the script."""

    def __init__(self, script: Iterable[Entry], provider: str) -> None:
        self.requests: list[dict[str, Any]] = []
        self._script, self._provider = iter(script), provider
        self._numbers = itertools.count(1)

    def take(self, request: dict[str, Any]) -> Entry:
        violations = ctxmem.validate(request, self._provider)
        if violations:
            raise ValueError(f"400: {violations[0]}")
        self.requests.append(json.loads(json.dumps(request)))
        entry = next(self._script)
        return entry(request) if isinstance(entry, Callable) else entry

    def number(self) -> int:
        return next(self._numbers)


class FakeOpenAI:
    """`client.chat.completions.create(**kwargs)`; an entry is a text, or a list of `call(...)`."""

    def __init__(self, script: Iterable[Entry]) -> None:
        self._scripted = _Scripted(script, "openai")
        self.requests = self._scripted.requests
        self.chat = self.completions = self

    def create(self, **request: Any) -> openai.types.chat.ChatCompletion:
        """Answer one request."""
        entry = self._scripted.take(request)
        message: dict[str, Any] = {"role": "assistant", "content": entry if isinstance(entry, str) else None}
        if isinstance(entry, list):
            message["tool_calls"] = [
                {
                    "id": f"call_{self._scripted.number()}",
                    "type": "function",
                    "function": {"name": one["name"], "arguments": json.dumps(one["arguments"])},
                }
                for one in entry
            ]
        size = len(json.dumps(request["messages"])) // 4
        return openai.types.chat.ChatCompletion.model_validate(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 0,
                "model": request["model"],
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": size, "completion_tokens": 5, "total_tokens": size + 5},
            }
        )


class FakeAsyncAnthropic:
    """`async with client.messages.stream(**kwargs) as stream`; an entry is a list of content blocks."""

    def __init__(self, script: Iterable[Entry]) -> None:
        self._scripted = _Scripted(script, "anthropic")
        self.requests = self._scripted.requests
        self.messages = self

    def stream(self, **request: Any) -> "_Stream":
        """Answer one request, streamed."""
        blocks = []
        for one in self._scripted.take(request):
            if isinstance(one, str):
                blocks.append({"type": "text", "text": one})
            elif "arguments" in one:
                used = {"type": "tool_use", "id": f"toolu_{self._scripted.number()}", "name": one["name"]}
                blocks.append({**used, "input": one["arguments"]})
            else:
                blocks.append(one)
        message = anthropic.types.Message.model_validate(
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": request["model"],
                "content": blocks,
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {"input_tokens": 50, "output_tokens": 5, "cache_read_input_tokens": 900},
            }
        )
        return _Stream(message)


class _Stream:
    """The part of the SDK's stream that an agent uses."""

    def __init__(self, message: anthropic.types.Message) -> None:
        self._message = message

    async def __aenter__(self) -> "_Stream":  # noqa: PYI034 - Self is not in Python 3.10
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    @property
    async def text_stream(self) -> Any:
        for block in self._message.content:
            if block.type == "text":
                for word in block.text.split():
                    yield word + " "

    async def get_final_message(self) -> anthropic.types.Message:
        return self._message
