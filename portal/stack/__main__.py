"""``python -m portal.stack up`` starts the whole product, ``servers`` its databases, ``gateway`` granian alone."""

from __future__ import annotations

import sys

from portal.environment import EnvironmentProblem
from portal.stack.gateway import gateway
from portal.stack.home import HomeProblem
from portal.stack.processes import ProcessProblem
from portal.stack.up import servers, up

COMMANDS = {"up": up, "servers": servers, "gateway": gateway}


def main(arguments: list[str]) -> int:
    """Run one command; 1 with a sentence on standard error if it cannot go on."""
    command = COMMANDS.get(arguments[0]) if len(arguments) == 1 else None
    if command is None:
        sys.stderr.write("usage: python -m portal.stack up|servers|gateway\n")
        return 2
    try:
        return command()
    except (EnvironmentProblem, HomeProblem, ProcessProblem) as problem:
        sys.stderr.write(f"Tollgate cannot run: {problem}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
