"""Blocking: every call waits until it is done, so every connection needs a thread or a process."""
