"""Completion: the operation is handed over whole, and its completion is reported."""
