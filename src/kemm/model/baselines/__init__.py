"""The field's networks, each our own reading of its paper, behind the one model interface."""
