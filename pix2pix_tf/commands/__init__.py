"""The command line: one module per command, with its options and ``run()``; `main` chooses."""
