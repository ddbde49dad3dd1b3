"""Kill the gateway at random moments under load, again and again, and count what its ledger knows afterwards."""
