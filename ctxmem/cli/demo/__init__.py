"""`ctxmem demo`: a scripted agent reads the standard library through a small window and answers from memory.

shelf   the tools: list_dir, read_file and grep as real functions
agent   what the agent says and calls, with no model
run     the loop, a restart, restores
exam    questions, right answers from the files, answers from memory
"""
