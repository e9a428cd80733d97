"""The command line for people; a client of the REST API."""
