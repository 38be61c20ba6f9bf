"""The `ftft` command: options that every command has, errors to exit codes, and flags made from configuration."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar, get_origin

import click

from ftft_core.cli.output import print_json, say
from ftft_core.config import Config
from ftft_core.errors import FilterError, FTFTError, InputError
from ftft_core.workspace import Workspace

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


@dataclass
class Settings:
    """What the options that every command has were set to."""

    workspace: str = "./workspace"
    workspace_is_said: bool = False
    """Whether an option named the workspace, and not a variable or nobody."""
    as_json: bool = False

    def open(self) -> Workspace:
        """Open the workspace, and take in what training processes left."""
        workspace = Workspace(self.workspace)
        workspace.database.linger()
        workspace.sync()
        return workspace


pass_settings = click.make_pass_decorator(Settings, ensure=True)


def _set_workspace(context: click.Context, _: click.Parameter, value: str | None) -> None:
    settings = context.ensure_object(Settings)
    is_said = context.get_parameter_source("workspace") is click.core.ParameterSource.COMMANDLINE
    # A command looks at the variable too, after the option may have been given before it.
    if value is not None and not value.strip():
        raise InputError("--workspace (or FTFT_WORKSPACE): received an empty name; give a folder.")
    if value is not None and (is_said or not settings.workspace_is_said):
        settings.workspace, settings.workspace_is_said = value, is_said


def _set_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Settings).as_json = True


def _common_options() -> list[click.Option]:
    return [
        click.Option(
            ["--workspace"],
            metavar="DIR",
            envvar="FTFT_WORKSPACE",
            expose_value=False,
            callback=_set_workspace,
            help="Folder of the workspace (or FTFT_WORKSPACE); ./workspace when left out.",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_set_json,
            help="Print one JSON document and nothing else.",
        ),
    ]


class Command(click.Command):
    """A command with the options that every command has."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _common_options()


class Group(click.Group):
    """A group whose commands are `Command`s."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _common_options()


Group.group_class = Group


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def cli() -> None:
    """FTFT: find the examples worth training on, fine-tune once on a third of the data, see what it gained and cost."""


def config_options(config_class: type[Config], names: Sequence[str]) -> Callable[[CommandT], CommandT]:
    """Make a flag of each of these fields; its help is the field's docstring, its value is checked by the config."""

    def decorate(command: CommandT) -> CommandT:
        for name in reversed(names):
            field = config_class.model_fields[name]
            default = None if field.is_required() or field.default is None else f"{field.default}"
            flag = f"--{name.replace('_', '-')}"
            text = (field.description or "").replace("\n", " ")
            shown = f"{text} [default: {default}]" if default is not None else text
            if get_origin(field.annotation) is tuple:
                several: dict[str, Any] = {"multiple": True, "callback": _several, "metavar": "TEXT"}
                shown = f"{text} Can be given several times."
                command = click.option(flag.removesuffix("s"), name, help=shown, **several)(command)
                continue
            command = click.option(flag, name, metavar=_metavar(field.annotation), help=shown)(command)
        return command

    return decorate


def _several(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...] | None:
    """Give None where an option was not given at all, and nothing at all where it was given as `none`."""
    if not values:
        return None
    return () if [value.lower() for value in values] in (["none"], ["null"]) else values


def _metavar(annotation: Any) -> str:
    kinds = {annotation, *getattr(annotation, "__args__", ())}
    return "N" if int in kinds else "X" if float in kinds else "TEXT"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give its exit code: 0 done, 1 failed, 2 bad input."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in given
    _load_commands()
    signal.signal(signal.SIGTERM, _interrupt)
    # A shell that starts a command in the background has it ignore Ctrl-C; whoever sends it by name means it.
    signal.signal(signal.SIGINT, _interrupt)
    try:
        cli.main(args=given, prog_name="ftft", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as usage:
        if as_json:
            return _fail(_usage_in_words(click.UsageError("Missing command.", usage.ctx)), [], 2, as_json)
        sys.stdout.write(usage.format_message() + "\n")
        return 2
    except click.ClickException as usage:
        return _fail(_usage_in_words(usage), [], 2, as_json)
    except FilterError as error:
        pointed = "" if as_json or not error.places else f"\n    {error.pointed.replace(chr(10), chr(10) + '    ')}"
        return _fail(error.message + pointed, error.problems, error.exit_code, as_json)
    except FTFTError as error:
        return _fail(error.message, error.problems, error.exit_code, as_json)
    except (KeyboardInterrupt, click.Abort):
        return _fail("Stopped.", [], 1, as_json)
    except BrokenPipeError:
        # The reader of our output has gone, as `ftft ... | head` does; there is nobody left to tell.
        sys.stderr.close()
        return 1
    return 0


def _load_commands() -> None:
    """Import the modules that add commands to `cli`."""
    of_runs = ("suites", "plans", "runs", "worker", "care", "experiments", "transfer", "serving")
    for name in (*of_runs, "maps", "subsets", "marks", "profile", "neighbours"):
        importlib.import_module(f"ftft_core.cli.{name}")


def _fail(message: str, problems: Sequence[str], exit_code: int, as_json: bool) -> int:
    if as_json:
        print_json({"error": message, "problems": list(problems)})
    else:
        say("\n".join([f"ftft: {message}", *(f"  - {problem}" for problem in problems)]))
    return exit_code


def _usage_in_words(error: click.ClickException) -> str:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    return f"{message} See `{context.command_path} --help`." if context else message


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
