"""One conversation a file, both halves; `scenarios.session.load_exchange` finds them by name."""
