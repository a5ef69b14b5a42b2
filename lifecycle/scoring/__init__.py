"""Scoring on a schedule, for teams without a service."""
