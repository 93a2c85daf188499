"""The rollout's figures: its test on simulated losses, and its verdicts on the real stack."""
