"""Questions about the world outside: which server is asked, over what, how often, and what is believed."""
