"""A process of its own that does what it is told: one JSON line of Python in, one JSON line of its value out.

    actor.py STORE [OPTIONS AS JSON]

`memory`, `log` and `ctxmem` are in scope, and what earlier lines assigned.
"""

import json
import sys

import ctxmem

scope = {"ctxmem": ctxmem}


def run(code):
    """Evaluate an expression, or execute statements; an error is named with its attributes."""
    try:
        try:
            compiled = compile(code, "actor", "eval")
        except SyntaxError:
            exec(code, scope)
            return {"value": None}
        return {"value": eval(compiled, scope)}
    except Exception as error:
        return {"error": type(error).__name__, "said": str(error), "about": vars(error)}


def serve(path, options):
    """Open the store, say how that went, and answer until the input ends."""
    scope["path"] = path
    given = json.loads(options)
    scope["readonly"] = given.pop("readonly", False)
    scope["options"] = ctxmem.Options(**given)
    answer = run("memory = ctxmem.open(path, readonly=readonly, options=options); log = memory._log")
    print(json.dumps(answer, default=str), flush=True)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line)), default=str), flush=True)
    memory = scope.get("memory")
    if memory is not None:
        memory.close()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "{}")
