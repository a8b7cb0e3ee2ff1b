"""How the nodes are wired: the stages, the ways between them, and how often a picture is tried."""

from pocketflow import Flow

from nodes import (
    AskNode,
    AskPersonNode,
    CancelNode,
    GenerateImageNode,
    OnNews,
    StageNode,
    StartOverNode,
)


def create_flow(entry: str, on_news: OnNews | None = None) -> Flow:
    """Return the flow, entered at `entry`: the session's stage, or the kind of what it waits for.

    It takes what the person has decided as far as it leads, and ends where they are asked again.
    With `on_news`, which is called with the jobs while they run, it waits for what is pending.
    """
    initial_input = StageNode("initial_input")
    user_feedback = StageNode("user_feedback")
    final = StageNode("final")
    generate = GenerateImageNode(on_news, max_retries=3, wait=2.0)
    person = AskPersonNode(on_news)
    cancel = CancelNode()
    start_over = StartOverNode()
    ask = AskNode()

    initial_input - "reopen" >> user_feedback
    user_feedback - "approve" >> final
    final - "back" >> user_feedback
    user_feedback - "ask a person" >> person
    person - "approved" >> final
    person - "declined" >> user_feedback
    for stage in (initial_input, user_feedback, final):
        stage - "generate" >> generate
        stage - "cancel" >> cancel
        stage - "start over" >> start_over
        stage - "ask" >> ask
    for wait in (generate, cancel):
        wait - "review" >> user_feedback
    for wait in (generate, person, cancel):
        wait - "stay" >> ask
    start_over - "empty" >> initial_input

    stops = {node.stage: node for node in (initial_input, user_feedback, final)}
    waits = {node.kind: node for node in (generate, person)}
    return Flow(start=(stops | waits)[entry])
