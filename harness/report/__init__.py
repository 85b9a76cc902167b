"""One way to show records a file: functions from records to text, bytes or figures. Nothing here measures."""
