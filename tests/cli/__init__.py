"""The command line, as its users meet it: exit status, standard output and standard error."""
