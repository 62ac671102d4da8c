"""Images in results: counted, the first to go where room is needed, and labelled with where they are from."""

import base64
import json
import struct

import pytest

import ctxmem
from ctxmem.providers import labelled_text, parse, rendered_tokens
from ctxmem.providers.framing import LABEL_TOKENS
from ctxmem.tokens import count
from tests.dialogues import FAST, MODELS, assistant, text_of, user

SHAPES = ("anthropic", "openai", "openai-responses")  # in which a result with images is one message
SCREEN = (1024, 768)


def png(number: int, width: int = SCREEN[0], height: int = SCREEN[1]) -> str:
    """The beginning of a PNG file, its real header and as much data as tells one from another, as base64."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + header + b"%08d" % number).decode()


def result(shape: str, call_id: str, text: str, *images: str) -> dict:
    """A tool's result with images, as the provider takes it."""
    urls = [f"data:image/png;base64,{data}" for data in images]
    if shape == "openai":
        shown = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        return {"role": "tool", "tool_call_id": call_id, "content": [{"type": "text", "text": text}, *shown]}
    if shape == "openai-responses":
        shown = [{"type": "input_image", "image_url": url} for url in urls]
        return {
            "type": "function_call_output",
            "call_id": call_id,
            "output": [{"type": "input_text", "text": text}, *shown],
        }
    sources = [{"type": "base64", "media_type": "image/png", "data": data} for data in images]
    content = [{"type": "text", "text": text}, *({"type": "image", "source": source} for source in sources)]
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call_id, "content": content}]}


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=FAST) as opened:
        yield opened


def looks(context, shape: str, numbers: range) -> list[int]:
    """Calls of a tool that shows the screen, each with its result, and a turn after each; the results' ids."""
    ids = []
    for number in numbers:
        context.append(assistant(None, (f"call_{number}", "look", {"at": number})))
        ids.append(context.append(result(shape, f"call_{number}", f"screen {number}", png(number))).id)
        context.assemble()
    return ids


@pytest.mark.parametrize("shape", SHAPES)
def test_a_label_saves_what_is_noted(shape):
    message = result(shape, "c", "two screens", png(1), png(2, 65_535, 65_535))
    draft = next(draft for draft in parse(message) if draft.call_id is not None)

    assert 0 < draft.image_tokens < draft.tokens
    label = f"[image 65535x65535, #{2**48 - 1}]\n"
    assert count(label) <= LABEL_TOKENS
    assert parse(user("hi"))[0].image_tokens == 0


@pytest.mark.parametrize("provider", sorted(MODELS))
@pytest.mark.parametrize("shape", SHAPES)
def test_images_go_first_and_the_texts_stay(memory, shape, provider):
    context = memory.context("a", model=MODELS[provider], provider=provider, window=9_000, reserve=0)
    context.append(user("look at the screen until it is done"))
    ids = looks(context, shape, range(14))
    prompt = context.assemble()
    said = text_of(prompt)

    shown = [number for number in range(14) if png(number) in said]
    assert shown
    assert all(said.count(png(number)) == 1 for number in shown)
    assert shown == list(range(shown[0], 14))  # the newest screens are left
    gone = range(shown[0])
    assert all(f"[image 1024x768, #{ids[number]}]" in said for number in gone)
    assert all(f"screen {number}" in said for number in range(14))
    assert all(context.explain(ids[number]).state == "stub" for number in gone)
    assert set(prompt.stubs) == {ids[number] for number in gone}
    assert ctxmem.validate(prompt.kwargs(), provider) == []
    assert rendered_tokens(prompt.messages, provider, system=prompt.system) <= prompt.tokens <= prompt.budget


@pytest.mark.parametrize("provider", sorted(MODELS))
def test_prompts_with_labels_are_prefixes_replayed_and_resumed(tmp_path, provider):
    how = {"model": MODELS[provider], "provider": provider, "window": 9_000, "reserve": 0}
    said = []
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", **how)
        context.append(user("look"))
        for number in range(16):
            looks(context, "anthropic", range(number, number + 1))
            prompt = context.assemble()
            if said and prompt.collection is None:
                assert prompt.stable_prefix_tokens > 0
                assert json.dumps(prompt.messages)[:-1].startswith(said[-1][: said[-1].rindex("}")])
            said.append(json.dumps(prompt.messages)[:-1])
        turns = {prompt.turn: text_of(prompt) for prompt in [context.replay(n) for n in range(1, prompt.turn + 1)]}
    assert any("[image 1024x768, #" in text for text in turns.values())
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", **how)
        assert {n: text_of(context.replay(n)) for n in turns} == turns
        assert text_of(context.assemble()) == turns[max(turns)]


def test_an_image_that_alone_is_too_large_is_labelled_and_the_text_beside_it_stays(memory):
    context = memory.context("a", model="gpt-4.1", window=3_000, reserve=0)
    context.append(user("look"))
    context.append(assistant(None, ("c", "look", {})))
    old, new = png(1), png(2)
    shown = context.append(result("anthropic", "c", "two screens", old, new, png(3, 2_000, 2_000)))
    prompt = context.assemble()
    said = text_of(prompt)

    assert old not in said
    assert f"two screens\\n[image 1024x768, #{shown.id}]\\n[image 1024x768, #{shown.id}]" in said
    assert prompt.stubs == (shown.id,)


def test_a_text_that_is_cut_names_the_images_it_had(memory):
    context = memory.context("a", model="gpt-4.1", window=2_000, reserve=0)
    context.append(user("look"))
    context.append(assistant(None, ("c", "look", {})))
    shown = context.append(result("anthropic", "c", "line of the log\n" * 2_000, png(1)))
    said = text_of(context.assemble())

    assert f"[#{shown.id} cut here: about " in said
    assert f"[image 1024x768, #{shown.id}]" in said


def test_an_image_in_a_user_message_stays_with_it(memory):
    context = memory.context("a", model="gpt-4.1", window=9_000, reserve=0)
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png(99)}"}}
    context.append({"role": "user", "content": [{"type": "text", "text": "make it look like this"}, part]})
    looks(context, "anthropic", range(12))

    assert png(99) in text_of(context.assemble())


def test_two_screens_under_one_caption_are_two(memory):
    context = memory.context("a", model="gpt-4.1", window=50_000, reserve=0)
    context.append(user("look"))
    for number in range(2):
        context.append(assistant(None, (f"c{number}", "look", {})))
        context.append(result("anthropic", f"c{number}", "the screen", png(number)))
    context.assemble()

    plan = context.plan()
    assert all(plan.reasons[group].rule != "superseded" for group in plan.reasons)
    assert context._session.now.state.working.segments["superseded_by"].max() == -1


def test_a_labelled_text_is_restored_by_what_shows_it_already(memory):
    context = memory.context("a", model="gpt-4.1", window=9_000, reserve=0)
    context.append(user("look"))
    first, *_ = looks(context, "anthropic", range(12))

    assert context.explain(first).state == "stub"
    assert context.restore(first).id == first
    record = memory._log.get(first)
    assert labelled_text(record, f"#{first}") == f"screen 0\n[image 1024x768, #{first}]"
