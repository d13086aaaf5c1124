"""The command line. Each command is a module with its options and ``run()``; `main` selects the command."""
