"""How a version that passed its gate takes over."""
