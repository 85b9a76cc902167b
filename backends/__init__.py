"""Who answers: one way to serve sockets a file. Imports the standard library, `scenarios` and the file's framework."""
