"""What travels between zones and global, and how: names, messages, the wire. Pure."""
