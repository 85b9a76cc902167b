"""The load generator: a process of its own, with a native engine and a portable twin behind one spec and result."""
