"""For a live notebook: a panel that explains any user on the spot, and recommendations to oneself."""
