"""Who measures: plans, starts, loads, watches, records and reports."""
