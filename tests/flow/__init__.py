"""Events in at the door, answers out of the store: the pipeline as a whole."""
