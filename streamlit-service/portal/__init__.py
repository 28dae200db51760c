"""The product itself: nouns, rules and records. Knows no web framework, no Docker, no Streamlit."""
