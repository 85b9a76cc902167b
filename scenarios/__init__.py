"""What is asked: sessions, exchanges and the catalogue of scenarios. Imports the standard library only."""
