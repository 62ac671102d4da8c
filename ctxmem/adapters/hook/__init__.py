"""What the adapters that own a framework's prompt share: at each call of a model they follow its list, and give a list.

follower   one list in, one list out, whatever goes wrong
seats      the contexts that are open for it
given      the framework's own objects, in the order of a prompt
cut        what is sent where a prompt cannot be made
"""

from ctxmem.adapters.hook.follower import Follower, ModelCall, Sent
from ctxmem.adapters.hook.given import Dialect

__all__ = ["Dialect", "Follower", "ModelCall", "Sent"]
