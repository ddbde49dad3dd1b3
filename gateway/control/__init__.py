"""Change the configuration while the gateway runs. The admin API and the commands are two faces of this package."""
