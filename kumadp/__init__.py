"""The data-plane agent."""
