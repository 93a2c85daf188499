"""Charts and pages that open without the internet."""
