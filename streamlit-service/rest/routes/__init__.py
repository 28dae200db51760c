"""Routes of REST v1, one file a noun: thin, every rule is in portal."""
