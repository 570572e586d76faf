"""Self-contained HTML pages of runs, comparisons, sweeps, searches, surveys and passports: one template, one style."""
