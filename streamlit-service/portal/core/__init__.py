"""Nouns and values that everything else is made of. Imports nothing of the portal."""
