"""What every state store does in the same way, so that who writes one writes only how it keeps things.

`rows`: events to and from what is stored, and the row that sums up a conversation. `passages`: words gathered into what
is searched; `growing`: those that are not over. `words`: what a search asks for. `chunks`: bytes in equal pieces.
"""

from coda_core.storing.chunks import recut
from coda_core.storing.growing import Growing
from coda_core.storing.passages import Draft, gather
from coda_core.storing.rows import LASTING, ROW_COLUMNS, EventRow, advance, conversation_row, decode, encode
from coda_core.storing.words import Wanted, folded, holds, wanted

__all__ = [
    "LASTING",
    "ROW_COLUMNS",
    "Draft",
    "EventRow",
    "Growing",
    "Wanted",
    "advance",
    "conversation_row",
    "decode",
    "encode",
    "folded",
    "gather",
    "holds",
    "recut",
    "wanted",
]
