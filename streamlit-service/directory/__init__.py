"""The organisation's directory: an LDAP server, or a CSV file."""
