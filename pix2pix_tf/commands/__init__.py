"""The command line. `main` runs the module of a command.

Most modules have ``run(options)``. If defaults depend on the arguments, as in training, a module has
``run(arguments)`` instead, and ``OPTIONS`` has the defaults for the reference.
"""
