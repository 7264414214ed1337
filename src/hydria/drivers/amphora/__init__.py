"""How controllers talk to amphora agents."""
