"""`ctxmem mcp` as hosts run it: over stdio as a child process, over HTTP with a token, several at once on one store."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys

import anyio
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

import ctxmem
from ctxmem.adapters import mcp
from ctxmem.adapters.mcp.serving import http_app, listening
from tests.dialogues import FAST
from tests.waiting import WATCHDOG_S

COMMAND = [sys.executable, "-c", "from ctxmem.cli import main; main()", "mcp"]
TOKEN = "lightship-lightship"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def request(number, method, **params):
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def tool_call(number, name, **arguments):
    return request(number, "tools/call", name=name, arguments=arguments)


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "s"
    with ctxmem.open(path, options=FAST) as memory:
        memory.add("The harbour of heron has a lightship.", session="desk")
    return path


def environment(**more):
    return {**os.environ, **more}


def child(store, *options):
    """How a client starts a server on a store."""
    words = [*COMMAND, "--store", str(store), *options]
    return stdio_client(StdioServerParameters(command=words[0], args=words[1:], env=dict(os.environ)))


def spoken(store, *messages, options=(), unanswered=()):
    """Write lines to a server, and close its stdin once all is answered: the answers, its stderr, its exit code."""
    lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in messages]
    waiting = {one["id"] for one in messages if isinstance(one, dict) and "id" in one} - set(unanswered)
    words, answers = [*COMMAND, "--store", str(store), *options], []
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b"\n".join([*lines, b""]))
            process.stdin.flush()
        while waiting and (line := process.stdout.readline()):
            answers.append(json.loads(line))
            waiting.discard(answers[-1].get("id"))
        process.stdin.close()
        answers += [json.loads(line) for line in process.stdout.read().splitlines()]
        said = process.stderr.read().decode()
    return answers, said, process.returncode


def text_of(result):
    return result.content[0].text


# --- stdio -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_host_that_starts_the_server_finds_what_is_stored(store, mode):
    async def main():
        async with Client(child(store), mode=mode) as client:
            return text_of(await client.call_tool("memory_search", {"query": "lightship harbour"}))

    assert "[#0] note, session desk" in anyio.run(main)


def test_two_servers_on_one_store_find_what_the_other_writes(store):
    async def main():
        async with (
            Client(child(store, "--allow-write", "--session", "one")) as one,
            Client(child(store, "--allow-write", "--session", "two", "--reads", "*")) as two,
            Client(child(store)) as reading,
        ):
            for n in range(5):
                writing, other = (one, two) if n % 2 else (two, one)
                await other.call_tool("memory_search", {"query": "buoy"})
                kept = text_of(await writing.call_tool("memory_add", {"text": f"The buoy number{n} is red."}))
                number = kept.removeprefix("Kept as ").removesuffix(".")
                assert number in text_of(await reading.call_tool("memory_search", {"query": f"number{n}"}))
                found = text_of(await two.call_tool("memory_search", {"query": f"number{n}"}))
                assert number in found
                mine = text_of(await one.call_tool("memory_search", {"query": f"number{n}"}))
                assert (number in mine) == (writing is one)

    anyio.run(main)
    with ctxmem.open(store) as memory:
        assert len(memory.search("buoy")) == 5


def test_nothing_but_the_protocol_is_on_stdout_and_no_content_on_stderr(store):
    answers, said, code = spoken(
        store,
        b"",
        b"marzipan77",
        b'{"jsonrpc": "2.0", "id": "marzipan77"',
        b"\xff\xfe marzipan77",
        b'{"jsonrpc": "2.0", "id": 5, "method": "marzipan77"}',
        INITIALIZE,
        INITIALIZED,
        tool_call(2, "memory_search", query="lightship marzipan77"),
        tool_call(3, "marzipan77"),
        request(4, "tools/call", name=["marzipan77"], arguments="marzipan77"),
        request(5, "resources/read", uri={"marzipan77": 1}),
        request(6, "resources/read", uri="file:///marzipan77"),
        b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "memory_read", "arguments": {"id": "\\ud800"}}}',
        tool_call(8, "memory_recent"),
    )
    by_id = {one.get("id"): one for one in answers}

    assert (said, code) == ("", 0)
    assert all(one["jsonrpc"] == "2.0" for one in answers)
    assert "lightship" in by_id[2]["result"]["content"][0]["text"]
    assert by_id[3]["result"]["isError"] is True
    assert by_id[4]["error"]["message"]
    assert by_id[6]["error"]["message"].startswith("There is no such resource here")
    assert "lightship" in by_id[8]["result"]["content"][0]["text"]
    assert "Traceback" not in json.dumps(answers)


def test_huge_requests_and_cancelled_ones_do_not_end_the_server(store):
    answers, said, code = spoken(
        store,
        INITIALIZE,
        INITIALIZED,
        tool_call(2, "memory_search", query="lightship " * 1_000_000),
        tool_call(3, "memory_read", id=[[0] * 100_000]),
        tool_call("c", "memory_recent"),
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "c"}},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "nobody's"}},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": {"x": []}}},
        tool_call(4, "memory_recent"),
        unanswered=["c"],
    )
    by_id = {one.get("id"): one for one in answers}

    assert (said, code) == ("", 0)
    assert "lightship" in by_id[2]["result"]["content"][0]["text"]
    assert by_id[3]["result"]["isError"] is True
    assert "lightship" in by_id[4]["result"]["content"][0]["text"]


def test_halves_of_characters_in_the_store_reach_the_host(store):
    with ctxmem.open(store, options=FAST) as memory:
        memory.add("harbour \ud800 of halves")

    answers, _, _ = spoken(
        store, INITIALIZE, INITIALIZED, tool_call(2, "memory_search", query="halves"), request(3, "ping")
    )

    assert "harbour \ufffd of halves" in {one["id"]: one for one in answers}[2]["result"]["content"][0]["text"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_and_keeps_the_notes(store, number):
    words = [*COMMAND, "--store", str(store), "--allow-write"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for message in (INITIALIZE, INITIALIZED, tool_call(2, "memory_add", text="The bell rings at noon.")):
            process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()
        while b'"id":2' not in process.stdout.readline().replace(b" ", b""):
            pass
        process.send_signal(number)
        assert process.wait(WATCHDOG_S) == 128 + number
        assert process.stderr.read() == b""
    with ctxmem.open(store) as memory:
        assert [hit.segment.text for hit in memory.search("bell")] == ["The bell rings at noon."]


def test_a_store_is_made_only_for_writing(tmp_path):
    path = tmp_path / "new"

    assert spoken(path)[2] == 1
    assert "There is no store" in spoken(path, options=["--allow-forget"])[1]
    assert not path.exists()
    answers, _, code = spoken(
        path, INITIALIZE, INITIALIZED, tool_call(2, "memory_add", text="x"), options=["--allow-write"]
    )
    assert code == 0
    assert "Kept as [#0]." in json.dumps(answers)


def test_wrong_options_are_one_sentence(store):
    for options in (["--reads", "a", "--allow-write"], ["--session", ""]):
        answers, said, code = spoken(store, options=options)
        assert (answers, said.count("\n"), code) == ([], 1, 1)


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams_end_the_server(store, redirection):
    words = ["sh", "-c", f'"$@" {redirection}', "sh", *COMMAND, "--store", str(store)]

    assert subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=WATCHDOG_S).returncode == 0


def test_without_the_package_the_remedy_is_named(store):
    code = "import sys; sys.modules['mcp'] = None; from ctxmem.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "mcp", "--store", str(store)], capture_output=True, text=True)

    assert done.returncode == 1
    assert done.stderr.startswith("ctxmem: ctxmem.adapters.mcp cannot be used here")
    assert done.stderr.endswith("pip install 'ctxmem-engine[mcp]'\n")


def test_importing_ctxmem_or_its_command_line_does_not_load_the_package():
    code = "import sys, ctxmem, ctxmem.cli, ctxmem.cli.mcp, ctxmem.adapters; sys.exit('mcp' in sys.modules or 'anyio' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- HTTP --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def served(store, *options, token=TOKEN):
    """A server over HTTP in a process of its own: its address, and its token."""
    given = {} if token is None else {"CTXMEM_MCP_TOKEN": token}
    words = [*COMMAND, "--store", str(store), "--http", "--port", "0", *options]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(**given)) as process:
        try:
            url = re.search(r"http://127\.0\.0\.1:\d+/mcp", process.stderr.readline().decode())[0]
            if token is None:
                token = process.stderr.readline().decode().split()[-1]
            yield url, token
        finally:
            process.terminate()
            assert process.stdout.read() == b""
            assert process.stderr.read() == b""


def bearer(token):
    return {} if token is None else {"Authorization": f"Bearer {token}"}


async def over_http(url, token, ask, mode="auto"):
    async with httpx2.AsyncClient(headers=bearer(token)) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            return await ask(client)


async def lightship(client):
    return text_of(await client.call_tool("memory_search", {"query": "lightship"}))


def statuses(url, *headers, body=INITIALIZE):
    """The HTTP status of a request with each of these headers."""
    accepts = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    with httpx2.Client() as http:
        return [http.post(url, headers={**accepts, **more}, json=body).status_code for more in headers]


def test_a_host_with_the_token_is_served_and_none_without(store):
    with served(store) as (url, token):
        for mode in ("auto", "legacy"):
            assert "[#0] note" in anyio.run(over_http, url, token, lightship, mode)
        wrong = ["x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é" * 20]
        refused = statuses(
            url,
            {},
            *({"authorization": f"Bearer {one}".encode()} for one in wrong),
            {"authorization": "Bearer"},
            {"authorization": TOKEN},
            {"authorization": f"Basic {TOKEN}"},
        )
        assert set(refused) == {401}
        assert statuses(url, bearer(TOKEN), {"authorization": f"bearer {TOKEN}"}) == [200, 200]
        assert statuses(url.replace("/mcp", "/"), {}, bearer(TOKEN)) == [401, 404]
        with httpx2.Client() as http:
            assert [
                http.request(verb, url, headers=bearer(TOKEN)).status_code for verb in ("GET", "DELETE", "PUT")
            ] == [405] * 3
            assert http.get(url).status_code == 401


def test_a_token_is_made_where_none_is_given(store):
    with served(store, token=None) as (url, token):
        assert len(token) >= 40
        assert "[#0] note" in anyio.run(over_http, url, token, lightship)


@pytest.mark.parametrize("token", ["", "short", "lightship lightship\n", "é" * 20])
def test_a_token_that_is_none_is_refused_at_the_start(store, token):
    done = subprocess.run(
        [*COMMAND, "--store", str(store), "--http", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S,
        env=environment(CTXMEM_MCP_TOKEN=token),
    )

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "the token must be 16 or more" in done.stderr


def test_a_port_that_is_taken_is_one_sentence(store):
    with listening(0) as at:
        done = subprocess.run(
            [*COMMAND, "--store", str(store), "--http", "--port", str(at.getsockname()[1])],
            capture_output=True,
            text=True,
            timeout=WATCHDOG_S,
            env=environment(CTXMEM_MCP_TOKEN=TOKEN),
        )

    assert done.returncode == 1
    assert "name another with --port" in done.stderr


def test_pages_of_other_sites_and_large_bodies_are_refused(store):
    with served(store) as (url, token):
        assert statuses(
            url, {**bearer(token), "host": "evil.example"}, {**bearer(token), "origin": "https://evil.example"}
        ) == [421, 403]
        assert statuses(url, bearer(token), body={**INITIALIZE, "x": "y" * 2_000_000}) == [413]
        assert statuses(url, bearer(token)) == [200]


def test_the_server_listens_on_the_loopback_address_alone():
    with listening(0) as at:
        assert at.getsockname()[0] == "127.0.0.1"


def test_hosts_over_http_and_stdio_share_a_store(store):
    async def both(url, token):
        async def add(client):
            return text_of(await client.call_tool("memory_add", {"text": "The winch is greased."}))

        kept = await over_http(url, token, add)
        async with Client(child(store)) as client:
            assert kept.split()[-1].rstrip(".") in text_of(await client.call_tool("memory_search", {"query": "winch"}))

    with served(store, "--allow-write") as (url, token):
        anyio.run(both, url, token)


def test_a_websocket_reaches_nothing(store):
    sent = []

    async def main(made):
        async def send(message):
            sent.append(message)

        await http_app(made, TOKEN)({"type": "websocket", "headers": []}, None, send)

    with ctxmem.open(store) as memory:
        anyio.run(main, mcp.server(memory))

    assert sent == [{"type": "websocket.close", "code": 1008}]
