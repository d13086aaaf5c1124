"""Completion of commands, options and their choices in bash and zsh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pix2pix_tf.commands.options import HELP_FLAGS, options_of
from pix2pix_tf.data.names import NAMED, PROCEDURAL, short_name
from pix2pix_tf.formats.shipped import shipped_models
from pix2pix_tf.models.registry import TRAINED, defaults

# Completes the words of the case that matches the command and the word before: a flag, or the command itself.
_SCRIPT = """# To complete pix2pix in bash and zsh: eval "$(pix2pix --completion)"
if [ -n "$ZSH_VERSION" ]; then autoload -U compinit bashcompinit && compinit && bashcompinit; fi
_pix2pix() {
  local current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words=
  local command="${COMP_WORDS[1]}"
  if [[ $COMP_CWORD = 1 ]]; then command= before=; fi
  if [[ $command = data && $COMP_CWORD -gt 2 ]]; then command="data ${COMP_WORDS[2]}"; fi
  local prefix=
  # bash splits --model=wgan at "=", zsh doesn't.
  case "$before $current" in
    "= "*) before="${COMP_WORDS[COMP_CWORD-2]}" ;;
    *" =") current= ;;
    *" --"*=*) before="${current%%=*}" prefix="${current%%=*}=" current="${current#*=}" ;;
    *" -"*) before=- ;;
  esac
  case "$command $before" in
CASES
  esac
  COMPREPLY=($(compgen -P "$prefix" -W "$words" -- "$current"))
}
complete -o default -F _pix2pix pix2pix"""


def completion_script(commands: Mapping[str, Any]) -> str:
    """Returns the script for commands and their options; paths are completed where it has no words."""
    words = {
        " ": sorted({name.split()[0] for name in commands}),
        " -": ["--help", "--version", "--completion"],
    }
    words["data data"] = [name.removeprefix("data ") for name in commands if name.startswith("data ")]
    datasets = [PROCEDURAL, *map(short_name, NAMED)]
    names = {"--dataset": datasets, "DATASET": datasets, "MODEL": shipped_models()}
    for command, options in commands.items():
        listed = list(options_of(options))
        if command == "train":
            listed += [option for model in TRAINED for option in options_of(defaults(model).model)]
        flags = {option.name for option in listed if not option.is_positional}
        flags |= {f"--no-{option.name[2:]}" for option in listed if option.is_bool}
        words[f"{command} -"] = sorted(flags | HELP_FLAGS)
        for option in listed:
            # The first argument follows the command.
            before = command.split()[-1] if option.is_positional else option.name
            if choices := names.get(option.name, option.choices):
                words[f"{command} {before}"] = list(choices)
    cases = [f"""    "{key}") words="{" ".join(each)}" ;;""" for key, each in words.items()]
    return _SCRIPT.replace("CASES", "\n".join(cases))
