"""Transforms of AWS's that run trained models, which Millpond has not."""
