"""The command line. `main` selects the command, a module with ``run(options)``.

Where defaults depend on the arguments, it is ``run(arguments)``, and ``OPTIONS`` has the usual defaults.
"""
