"""The admin API, `/admin/v1`: a thin face of `gateway.control`, described by one table of routes."""
