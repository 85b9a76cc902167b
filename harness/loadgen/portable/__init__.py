"""The portable engine: the twin of `engine.pyx` in Python, for where the native one cannot be built.

The same interface, the same results and the same tests. It is slower, so it reaches its own limits sooner; every result
says which engine measured. The modules and functions have the names of those in the native engine, which explains the
design.
"""
