"""Which index each tool call of a stream has, where the upstream leaves that open."""

from __future__ import annotations

from typing import Any


class ToolIndexes:
    """Tool calls of one choice, numbered by their ids where the upstream numbers none, or all of them zero."""

    __slots__ = ("_by_id", "_current", "_highest", "_odd", "_taken")

    def __init__(self) -> None:
        self._by_id: dict[str, int] = {}
        self._taken: set[int] = set()
        self._highest = -1
        self._current = 0
        self._odd = False

    def repair(self, delta: dict[str, Any]) -> None:
        """Give every call of a delta the index that is its own."""
        calls = [call for call in delta["tool_calls"] if type(call) is dict]
        for call in calls:
            call["index"] = self._index(call.get("id"), call.get("index"))
        delta["tool_calls"] = calls

    def _index(self, ident: object, given: object) -> int:
        if type(ident) is str and ident:
            if ident not in self._by_id:
                self._by_id[ident] = index = self._free(given)
                self._taken.add(index)
                self._highest = max(self._highest, index)
            self._current = self._by_id[ident]
        elif type(given) is int and not self._odd:
            return given
        return self._current

    def _free(self, given: object) -> int:
        """The index of a new call: the given one, unless there is none or it is another's."""
        if type(given) is int and given not in self._taken:
            return given
        self._odd = True
        return self._highest + 1
