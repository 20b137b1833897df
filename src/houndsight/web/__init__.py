"""The page and the HTTP API: a thin layer over what the library answers.

Needs the extra ``web``.
"""
