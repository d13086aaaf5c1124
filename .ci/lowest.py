"""Prints pip's constraints for the lowest version of each package that setup.cfg allows."""

import configparser
from pathlib import Path

settings = configparser.ConfigParser()
settings.read(Path(__file__).parent.parent / "setup.cfg")
for line in settings["options"]["install_requires"].splitlines():
    if ">=" in line:
        print(line.replace(">=", "=="))
