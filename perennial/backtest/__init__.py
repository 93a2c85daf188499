"""The loop on history: reference policies, and the decisions of production replayed offline."""
