"""State that outlives a request: the ledger, keys, limits, cached answers, facts about upstreams."""
