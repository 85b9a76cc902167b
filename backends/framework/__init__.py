"""Framework: someone else's event loop carries the same sessions."""
