"""The command line: one module per command; heavy imports stay inside the commands.

``main`` turns every mistake into one line, ``output`` writes tables, JSON and CSV.
"""
