"""The vocabulary that the agent and the control plane share; imports none of the other packages."""
