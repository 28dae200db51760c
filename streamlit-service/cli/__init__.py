"""The administrator's command line, one file a noun; admin.py mounts them."""
