"""`kuma-dp demo`: the real programs as processes, the main job shown step by step."""
