"""The resources of the mesh: models, rules, REST shapes and YAML documents (kuma-cp 2.0).

Nothing is imported here, so that `yamldoc` stays free of pydantic.
"""
