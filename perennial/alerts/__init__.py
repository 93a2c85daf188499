"""Alerts come in over HTTP, and the loop looks, retrains or steps back."""
