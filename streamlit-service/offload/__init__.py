"""The audit trail, event by event, to the organisation's rsyslog."""
