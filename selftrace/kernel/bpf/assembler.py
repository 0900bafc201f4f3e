"""Builds a program backwards: a node is emitted after the nodes that it leads to, so that every jump goes forward, and
equal nodes are one. A node is named by its position from the end."""

from __future__ import annotations

from selftrace.kernel.bpf.program import ALU_AND, JMP_JA, LD_W_ABS, RET_K, Instruction, Program

_REACH = 250  # of a conditional jump, with room for jumps put in between


class Assembler:
    """Emits nodes; each method returns the node's name, for the nodes before it."""

    def __init__(self) -> None:
        self._code: list[Instruction] = []
        self._known: dict[tuple[int, int, int, int], int] = {}

    def __len__(self) -> int:
        return len(self._code)

    def _emit(self, instruction: Instruction) -> int:
        self._code.append(instruction)
        return len(self._code) - 1

    def _goto(self, node: int) -> int:
        return self._emit(Instruction(JMP_JA, 0, 0, len(self._code) - 1 - node))

    def _near(self, node: int) -> int:
        return node if len(self._code) - 1 - node <= _REACH else self._goto(node)

    def ret(self, value: int) -> int:
        """Ends with `value`."""
        key = (RET_K, value, 0, 0)
        if key not in self._known:
            self._known[key] = self._emit(Instruction(RET_K, 0, 0, value))
        return self._known[key]

    def _then(self, code: int, k: int, following: int) -> int:
        key = (code, k, following, -1)
        if key not in self._known:
            if following != len(self._code) - 1:
                self._goto(following)
            self._known[key] = self._emit(Instruction(code, 0, 0, k))
        return self._known[key]

    def load(self, offset: int, following: int) -> int:
        """Loads a word of seccomp_data, then goes on."""
        return self._then(LD_W_ABS, offset, following)

    def mask(self, bits: int, following: int) -> int:
        """Keeps these bits of the accumulator, then goes on."""
        return self._then(ALU_AND, bits, following)

    def jump(self, code: int, k: int, if_true: int, if_false: int) -> int:
        """Goes on by a comparison of the accumulator."""
        if if_true == if_false:
            return if_true
        key = (code, k, if_true, if_false)
        if key not in self._known:
            yes, no = self._near(if_true), self._near(if_false)
            yes = self._near(yes)  # the jump put in for `no` moved it away
            top = len(self._code) - 1
            self._known[key] = self._emit(Instruction(code, top - yes, top - no, k))
        return self._known[key]

    def finish(self, entry: int) -> Program:
        """The program that starts at `entry`."""
        if entry != len(self._code) - 1:
            self._goto(entry)
        return Program(tuple(reversed(self._code)))
