"""The console: static files, and the sessions of the people who use it. All that it shows comes from the admin API."""
