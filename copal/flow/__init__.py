"""Ways of doing a plan: as a Metaflow flow, or in one process; both store the same bytes."""
