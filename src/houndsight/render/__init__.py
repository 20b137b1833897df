"""Answers as pictures and pages: takes plain data, returns an image or a text, and writes nothing."""
