"""Readiness: a multiplexer says which sockets are ready, and one reactor calls them back."""
