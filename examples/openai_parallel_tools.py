"""OpenAI, sync: several calls in one reply, answered by threads in any order, one of them with an error.

The window is small, so that collections happen; every request still passes the client's validation.
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fake_clients import FakeOpenAI, call

import ctxmem

CITIES = ["Oslo", "Lima", "Cairo", "Quito"]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "day": {"type": "integer"}}},
        },
    }
]
DAYS = 30
script = [[call("weather", city=city, day=day) for city in CITIES] for day in range(DAYS)]
client = FakeOpenAI([*script, "Lima was the mildest."])


def weather(city: str, day: int) -> str:
    if city == "Cairo" and day % 7 == 0:
        raise TimeoutError(f"no answer for {city} on day {day}")
    return f"{city}, day {day}: " + " ".join(f"{hour:02}h={(hour * 7 + day) % 30}C" for hour in range(24))


def answer(context: ctxmem.Context, one: ctxmem.Call) -> None:
    try:
        context.result(one.id, weather(**one.arguments), city=one.arguments["city"])
    except TimeoutError as exc:
        context.result(one.id, f"TimeoutError: {exc}", error=True)


with (
    tempfile.TemporaryDirectory() as folder,
    ctxmem.open(Path(folder, "agent.ctxmem")) as memory,
    ThreadPoolExecutor(4) as pool,
):
    context = memory.context("weather", model="gpt-4.1", window=8_000, tools=TOOLS)
    context.system("Answer from the weather service only.")
    context.append({"role": "user", "content": f"Which of {', '.join(CITIES)} was the mildest?"})
    collections, largest = 0, 0
    while True:
        prompt = context.assemble()
        collections += prompt.collection is not None
        largest = max(largest, prompt.tokens)
        said = context.append(client.chat.completions.create(**prompt.kwargs(temperature=0)))
        if not said.calls:
            break
        list(pool.map(lambda one: answer(context, one), said.calls))

    print(said.text)
    print(f"{prompt.turn} turns, {collections} collections, largest prompt {largest} of {prompt.budget} tokens")
    assert collections > 0
    assert largest <= prompt.budget
