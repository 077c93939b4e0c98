"""Where the process ends: what each exception looks like to the user, and its exit code.

0 done, 1 failed, 2 the document or the arguments are wrong, 130 interrupted.
"""

from __future__ import annotations

import os
import select
import sys
import tempfile
import traceback
from collections.abc import Callable

import typer

from eagleray import logs
from eagleray.cli.visible import visible
from eagleray.errors import DocumentError, EaglerayError

TRAIN_PACKAGES = {
    *("datasets", "deepspeed", "filelock", "numpy", "peft", "pyarrow"),
    *("ray", "safetensors", "tensorboardX", "torch", "transformers"),
}
"""What the extra `train` brings and commands import."""
UI_PACKAGES = {"fastapi", "jwt", "starlette", "uvicorn"}
"""What the extra `ui` brings: no machine learning."""
VALIDATE_PACKAGES = {"cel", "kubernetes", "kubernetes_validate"}
"""What the extra `validate` brings and `render` imports."""


def run(command: Callable[[], object]) -> int:
    """Run a command and return the exit code. Nothing but SystemExit leaves this function."""
    try:
        return _run(command)
    finally:
        logs.end()


def _run(command: Callable[[], object]) -> int:
    try:
        command()
    except typer.Exit as wanted:
        return wanted.exit_code
    except DocumentError as error:
        return _fail(*map(str, error.findings), exit_code=error.exit_code)
    except EaglerayError as error:
        return _fail(str(error) or type(error).__name__, exit_code=error.exit_code)
    except typer.TyperException as error:
        return _usage(error)
    except typer.Abort:
        return _fail("aborted", exit_code=1)
    except KeyboardInterrupt:
        return _fail("interrupted", exit_code=130)
    except BrokenPipeError as error:
        return _end_quietly() if _is_output_unread() else _bug(error)
    except ModuleNotFoundError as error:
        return _missing(error)
    except Exception as error:
        return _bug(error)
    return 0


def _fail(*messages: str, exit_code: int) -> int:
    """Several findings are several errors, each with a place that a terminal makes clickable."""
    lines = logs.active()
    if lines is not None:
        for message in messages:
            lines.note("error", message, exit_code=exit_code)
        return exit_code
    prefix = typer.style("error: ", fg=typer.colors.RED, bold=True)
    for message in messages:
        typer.echo(prefix + visible(message), err=True, color=_color())
    return exit_code


def _missing(error: ModuleNotFoundError) -> int:
    """A package that only some commands need: the plain installation has none of them."""
    package = (error.name or "").partition(".")[0]
    if package in UI_PACKAGES:
        return _fail(
            f"this command needs {package}, which is not installed: pip install 'eagleray[ui]', or eagleray[serve], "
            "which has it too",
            exit_code=1,
        )
    if package in VALIDATE_PACKAGES:
        message = f"this needs {package}, which is not installed: pip install 'eagleray[validate]'"
        return _fail(message, exit_code=1)
    if package not in TRAIN_PACKAGES:
        return _bug(error)
    return _fail(
        f"this command needs {package}, which is not installed: pip install 'eagleray[train]', which brings all that "
        "training and prediction need",
        exit_code=1,
    )


def _usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if context is not None and message == context.get_help():
        # A group called without a command.
        typer.echo(message, err=True)
        return error.exit_code
    hint = f"\n  see {context.command_path} --help" if context is not None else ""
    return _fail(message + hint, exit_code=error.exit_code)


def _bug(error: Exception) -> int:
    summary = "".join(traceback.format_exception_only(error)).strip().splitlines()[0]
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="eagleray-traceback-", suffix=".txt", encoding="utf-8", delete=False
        ) as file:
            traceback.print_exception(error, file=file)
    except OSError:
        # The disk that is full may be the one of the temporary folder.
        traceback.print_exception(error)
        return _fail(f"unexpected {summary}", exit_code=1)
    return _fail(f"unexpected {summary}; the traceback is in {file.name}", exit_code=1)


def _is_output_unread() -> bool:
    """Whether the reader of our output has gone, as in `eagleray plan FILE | head`; else some other pipe broke."""
    poll = select.poll()
    poll.register(sys.stdout, select.POLLOUT)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _end_quietly() -> int:
    # Python flushes stdout once more at its end, and would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _color() -> bool | None:
    # None: colour on a terminal only. https://no-color.org
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None
