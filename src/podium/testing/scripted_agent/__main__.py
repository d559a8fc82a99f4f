"""Play the script: `python -m podium.testing.scripted_agent --session ID`, told the rest by environment."""

from __future__ import annotations

import os
import re
import sys

from podium.testing.scripted_agent import mischief
from podium.testing.scripted_agent.journal import Journal
from podium.testing.scripted_agent.script import BadScript, Done, Step, load
from podium.testing.scripted_agent.wire import Inbox, emit

SESSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
SUCCEEDED, FAILED, USAGE, LEFT_OFF = 0, 1, 2, 75
"""Exit codes. LEFT_OFF: stdin closed before the script ended; no result was said, the session can go on."""


class Player:
    """Plays steps one after another, each between two lines of the journal."""

    def __init__(self, session: str, journal: Journal, inbox: Inbox) -> None:
        self._session = session
        self._journal = journal
        self._inbox = inbox

    def play(self, steps: list[Step]) -> int:
        """Start after the last step that ended; returns the exit code, every frame having been said."""
        names = [step.id for step in steps]
        last = self._journal.last_ended
        emit("init", session=self._session, resumed_after=last)
        if last is not None and last not in names:
            return finish(
                "failed", f"the session ended step {last}, which this script does not have", "bad_script"
            )
        position = 0 if last is None else names.index(last) + 1
        if position and steps[position - 1].do == "fail":
            position -= 1  # it ended by failing, and says so again
        for step in steps[position:]:
            code = self._one(step)
            if code is not None:
                return code
        return finish("success", "the script is done")

    def _one(self, step: Step) -> int | None:
        """Play one step unless stdin says otherwise; an exit code ends the script."""
        self._inbox.look()
        if self._inbox.interrupted:
            return finish("failed", f"interrupted before {step.id}", "interrupted")
        if self._inbox.eof:
            return LEFT_OFF
        again = self._journal.begin(step.id)
        done = self._act(step, again)
        if done.ended and not done.fatal:
            self._journal.end(step.id)
        if step.do == "fail":
            return finish("failed", step.fields["message"], step.fields.get("error_class", "scripted"))
        if done.fatal:
            return finish("failed", f"step {step.id}: {done.output[-500:]}", "step_failed")
        if not done.ended:
            interrupted = self._inbox.interrupted
            return finish("failed", f"interrupted in {step.id}", "interrupted") if interrupted else LEFT_OFF
        return None

    def _act(self, step: Step, again: bool) -> Done:
        """Do the step, saying what a person should see of it."""
        match step.do:
            case "say" | "think" | "usage":
                emit(step.do, **step.fields)
            case "flood":
                mischief.flood(step)
            case "fail":
                pass  # the result says it
            case _:
                return self._use_tool(step, again)
        return Done("")

    def _use_tool(self, step: Step, again: bool) -> Done:
        """A step that shows as a tool call and its return; a step cut short has no return, unless it ran."""
        call = f"{step.id}.{self._journal.attempts(step.id)}"
        if step.do == "hang":
            mischief.close_ways_out(step)  # before anybody can see that we hang
        emit("tool_call", id=call, name=step.do, input=step.fields)
        match step.do:
            case "hang":
                mischief.hang(step, self._inbox)
                return Done("", ended=False)
            case "wait":
                done = Done("", ended=mischief.wait(step, self._inbox))
            case "ask" | "listen":
                from podium.testing.scripted_agent import talk

                done = (
                    talk.ask(step, call, self._inbox) if step.do == "ask" else talk.listen(step, self._inbox)
                )
            case "fork":
                done = Done(" ".join(str(pid) for pid in mischief.fork(step)))
            case _:
                from podium.testing.scripted_agent import work  # a script without tools starts faster

                done = work.TOOLS[step.do](step, again, self._inbox, self._session)
        if done.ended or done.output:
            emit("tool_return", id=call, output=done.output, is_error=done.is_error)
        return done


def finish(status: str, message: str, error_class: str | None = None) -> int:
    """Say the result; returns the exit code that goes with it."""
    emit("result", status=status, message=message, error_class=error_class)
    return SUCCEEDED if status == "success" else FAILED


def main(arguments: list[str]) -> int:
    """Exit code: 0 success, 1 failed, 2 wrong call, 75 left off because stdin closed."""
    if len(arguments) != 2 or arguments[0] != "--session" or not SESSION.fullmatch(arguments[1]):
        print("usage: scripted_agent --session ID (letters, digits, _ . -)", file=sys.stderr)
        return USAGE
    script = os.environ.get("PODIUM_SCRIPT")
    if not script:
        print("scripted_agent: PODIUM_SCRIPT must name the script file", file=sys.stderr)
        return USAGE
    session = arguments[1]
    try:
        steps = load(script)
        journal = Journal(os.environ.get("PODIUM_JOURNAL"), session, os.environ)
        return Player(session, journal, Inbox()).play(steps)
    except BadScript as error:
        emit("init", session=session, resumed_after=None)
        return finish("failed", str(error), "bad_script")
    except BrokenPipeError:
        return FAILED  # nobody listens any more; there is nobody to tell


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
