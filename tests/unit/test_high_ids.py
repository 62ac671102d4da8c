"""Ids far above 32 bits: everything works at the upper end of the ids as it does at the lower."""

import ctxmem
from ctxmem.prompt.memorytools import sources_of
from ctxmem.segment import MAX_ID
from ctxmem.store.localstore import LocalStore

FIRST = MAX_ID + 1 - (2 << 16)  # the last block but one


def opened(path, first, **chosen):
    """Open a store whose first id is `first`."""
    with_blocks = LocalStore.open(path)
    with_blocks.write(lambda batch: batch.put("meta", b"next_block", (first >> 16).to_bytes(8, "big")))
    with_blocks.close()
    return ctxmem.open(path, options=ctxmem.Options(durability="unsafe", tail_segments=32, merge_factor=2, **chosen))


def fill(memory):
    added = [memory.add(f"red cat {i} in house {i % 7}", session=f"s{i % 3}", at=float(i), n=i % 5) for i in range(200)]
    memory.flush()
    added = [segment.id for segment in added]
    items = [{"text": f"blue dog {i} says {i % 3}", "session": "s1", "at": 1000.0 + i} for i in range(90)]
    added += [int(getattr(each, "id", each)) for each in memory.add_many(items)]
    for gone in added[40:45]:
        memory.forget(gone)
    memory.pin(added[3])
    return added


def answers(memory, ids):
    """What searches say, each hit by its place among the ids."""
    place = {segment_id: number for number, segment_id in enumerate(ids)}
    asked = [
        memory.search("red cat 17", limit=300, explain=True),
        memory.search('"house 3"', session="s1"),
        memory.search("dog cat", limit=40, n=2),
        memory.search("", limit=20),
        memory.search("say* +blue", limit=20),
    ]
    return [[(place[hit.segment.id], hit.score) for hit in hits] for hits in asked]


def test_searches_answer_the_same_at_both_ends(tmp_path):
    low, high = opened(tmp_path / "low", 0), opened(tmp_path / "high", FIRST)
    low_ids, high_ids = fill(low), fill(high)

    assert high_ids[0] == FIRST
    assert [high_id - low_id for high_id, low_id in zip(high_ids, low_ids, strict=True)] == [FIRST] * len(low_ids)
    assert answers(high, high_ids) == answers(low, low_ids)
    high.close()
    high = ctxmem.open(tmp_path / "high")
    assert answers(high, high_ids) == answers(low, low_ids)
    assert high.get(high_ids[3]).pinned
    assert high.get(high_ids[41]).text == "[forgotten]"
    high.compact()
    assert answers(high, high_ids) == answers(low, low_ids)
    low.close()
    high.close()


def test_a_session_collects_recalls_and_resumes(tmp_path):
    memory = opened(tmp_path / "s", FIRST)
    context = memory.context("a", model="gpt-4.1", window=6_000)
    for i in range(60):
        context.append({"role": "user", "content": f"Step {i}. " + "Look at src/app/login.py again. " * 20})
        context.append({"role": "assistant", "content": f"Done with {i}. " + "It says no. " * 20})
        prompt = context.assemble()
    resumed_from = prompt.messages
    memory.close()

    memory = ctxmem.open(tmp_path / "s")
    context = memory.context("a", model="gpt-4.1", window=6_000)
    assert context.replay(prompt.turn).messages == resumed_from
    assert context.explain(FIRST + 4).id == FIRST + 4
    said = context.dispatch("memory_read", {"id": FIRST + 4})
    assert "Step 2." in said
    context.rewind(FIRST + 100)
    assert context.assemble().messages
    memory.close()


def test_a_heading_of_fifteen_digits_is_read():
    assert sources_of("memory_search", {}, f"[#{MAX_ID}] user:\nhi") == [MAX_ID]
    assert sources_of("memory_read", {"id": MAX_ID}, "hi") == [MAX_ID]
