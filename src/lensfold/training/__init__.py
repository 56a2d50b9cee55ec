"""One fold of an experiment, trained."""
