"""One module a screen, by the name of its stage, and the parts that they share."""

from screens import agent, final, initial_input, user_feedback

__all__ = ["agent", "final", "initial_input", "user_feedback"]
