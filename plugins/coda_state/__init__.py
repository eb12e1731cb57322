"""State stores and the state manager: what happened in a conversation, and where it is kept."""
