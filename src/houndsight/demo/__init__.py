"""A small labelled set of drawn photos, so that houndsight can be tried without any data."""
