"""Attacks, one file for each kind of attacker; every test was red on the code that let it through."""
