"""Worlds without some actions, and what is recommended in them."""
