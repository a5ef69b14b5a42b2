"""Kinds of target. All that depends on the kind of the target is in its `Task`."""
