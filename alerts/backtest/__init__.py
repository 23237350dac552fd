"""Replays the rules over history or a described incident: when would it have paged, and was that right."""
