"""One scenario a TOML file; read by `harness.scenario`."""
