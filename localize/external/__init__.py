"""Localizers that are not ours: a function in the user's file, a model of another library.

Each runs in a process of its own (``worker``), which ``peer`` starts, asks, and ends.
"""
