"""What is answered: the table of names, and everything that a question may meet in it. Pure."""
