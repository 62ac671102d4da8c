"""What is put around a caller's words: the framing of messages in tokens, and the texts of our own with theirs.

All counts are o200k, before any calibration.
"""

# Framing in tokens, OpenAI's cookbook formula: 3 a message and one for the role; 1 more where there is a name.
MESSAGE_TOKENS = 4
NAME_TOKENS = 1
CALL_TOKENS = 8  # a call's own header (channel, recipient, constraint); no published figure, on the safe side
RESULT_ID_TOKENS = 8  # at least: an id that rendering maps to another (`wire_id`) has at most this many
PRIMING_TOKENS = 3  # the reply's header, once a prompt
BLOCK_TOKENS = 8  # what surrounds a block that no formula describes

JOIN_TOKENS = 1  # the line break between two texts that a shape writes as one
ERROR_PREFIX = "[error] "  # what a failed result starts with where the shape has no flag for it
ERROR_TOKENS = 3
UNREAD_TOKENS = 16  # what `texts.unread_text` adds to name and arguments

IMAGES_HEADING = "[images of the result above]"  # where results hold text only
LABEL_TOKENS = 32  # of `[image 1024x768, #12]` and its join, at most
IMAGES_TOKENS = 24  # of the user's message that then carries them, labels included
SYSTEM_HEADING = "[system message]\n"  # of a system message that is sent as a user's
SYSTEM_TOKENS = 6

NO_RESULT = "[no result recorded]"
PRUNED = "[earlier context pruned]"
CONTINUE = "[continue]"
FILLERS_TOKENS = 2 * (MESSAGE_TOKENS + 6)  # `PRUNED` and `CONTINUE`, where a shape needs a user's message there
