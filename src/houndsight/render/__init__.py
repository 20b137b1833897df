"""Answers as pictures and pages: plain data in, an image or a text out."""
