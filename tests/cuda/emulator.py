"""A PTX machine: runs one thread of a kernel, as far as kernels of scalar code go.

With it the numbers that a kernel computes are checked without a GPU: libdevice is in
the PTX. Approximate instructions (`ex2.approx` and the like) are exact here, and fused
products are rounded once. Registers are Python numbers by the class of their name:
`%fd` float64, `%f` float32, `%p` bool, all others unsigned integers.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.cuda.ptx_numbers import compared, computed, converted, single, unpacked

_WIDE = ("%rd", "%SP")
_SPECIAL = {"%tid.x": 0, "%ntid.x": 1, "%ctaid.x": 0, "%nctaid.x": 1}


class Machine:
    """The functions of a module, and memory.

    Args:
        text: PTX.
    """

    def __init__(self, text: str) -> None:
        self.memory = bytearray(64)
        self.symbols: dict[str, int] = {}
        self.functions: dict[str, Function] = {}
        text = re.sub(r"//[^\n]*", "", text)
        for width, name, values in re.findall(
            r"\.(?:global|const) \.align \d+ \.[bsu](\d+) (\w+)\[\d+\] = \{([^}]*)\};",
            text,
        ):
            size = int(width) // 8
            data = [int(v, 0).to_bytes(size, "little") for v in values.split(",")]
            self.symbols[name] = self.put(b"".join(data))
        heads = re.finditer(
            r"\.(?:entry|func)\s+(?:\(([^)]*)\)\s*)?(\w+)\s*\(([^)]*)\)[^{;]*(?=[{;])",
            text,
        )
        for head in heads:
            if text[head.end()] == "{":
                body = _balanced(text, head.end())
                outs, params = (_params(head[k] or "") for k in (1, 3))
                self.functions[head[2]] = Function(self, params, outs, body)
                if ".entry" in head[0]:
                    self.entry = self.functions[head[2]]

    def put(self, data: bytes) -> int:
        """Memory with these bytes; its address."""
        self.memory += bytes(-len(self.memory) % 16)
        at = len(self.memory)
        self.memory += data
        return at

    def launch(self, *arrays: Any) -> None:
        """Run the kernel on contiguous arrays, which it may write into."""
        places = [self.put(x.tobytes()) for x in arrays]
        words: list[int] = []
        for x, at in zip(arrays, places, strict=True):
            words += [0, 0, x.size, x.itemsize, at, *x.shape, *x.strides]
        self.entry.run(words)
        for x, at in zip(arrays, places, strict=True):
            data = bytes(self.memory[at : at + x.nbytes])
            x[...] = np.frombuffer(data, x.dtype).reshape(x.shape)


def _balanced(text: str, start: int) -> str:
    depth = 0
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if not depth:
            return text[start + 1 : at]
    raise ValueError("a brace is not closed")


def _params(text: str) -> list[str]:
    return re.findall(r"(\w+)(?:\[\d+\])?\s*(?:,|$)", text.strip())


class Function:
    """One function: its statements, with where the labels are."""

    def __init__(
        self, machine: Machine, params: list[str], outs: list[str], body: str
    ) -> None:
        self.machine, self.params, self.outs = machine, params, outs
        self.labels: dict[str, int] = {}
        self.steps: list[tuple[str, list[str], list[str]]] = []
        self.depots = re.findall(r"\.local \.align \d+ \.b8\s+(\w+)\[(\d+)\]", body)
        # A brace at an end of a line is a scope of registers.
        body = re.sub(r"^\s*[{}]|[{}]\s*$", "", body, flags=re.MULTILINE)
        for part in body.split(";"):
            statement = " ".join(part.split())
            while label := re.match(r"(\$?\w+):\s*", statement):
                self.labels[label[1]] = len(self.steps)
                statement = statement[label.end() :]
            if statement and not statement.startswith("."):
                self.steps.append(_parsed(statement))

    def run(self, given: Sequence[Any]) -> dict[tuple[str, int], Any]:
        """Run with these parameters; all parameters, the results among them."""
        frame = Frame(self, given)
        at = 0
        while at < len(self.steps):
            guard, op, args = self.steps[at]
            at += 1
            if guard:
                wanted = not guard.startswith("!")
                if frame.registers[guard.lstrip("!")] != wanted:
                    continue
            if op[0] == "bra":
                at = self.labels[args[0]]
            elif op[0] == "ret":
                break
            else:
                frame.do(op, args)
        return frame.params


def _parsed(statement: str) -> tuple[str, list[str], list[str]]:
    guard = re.match(r"@(!?%\w+)\s+", statement)
    rest = statement[guard.end() :] if guard else statement
    name, _, operands = rest.partition(" ")
    args = re.findall(r"\{[^}]*\}|\[[^\]]*\]|\([^)]*\)|[^,\s][^,]*", operands)
    return guard[1] if guard else "", name.split("."), [a.strip() for a in args]


class Frame:
    """Registers and parameters of one call."""

    def __init__(self, function: Function, given: Sequence[Any]) -> None:
        self.machine = function.machine
        self.registers: dict[str, Any] = dict(_SPECIAL)
        # By name and offset.
        self.params: dict[tuple[str, int], Any] = {
            (name, 0): x for name, x in zip(function.params, given, strict=True)
        }
        self.symbols = dict(self.machine.symbols)
        for name, size in function.depots:
            self.symbols[name] = self.machine.put(bytes(int(size)))
        self.carry = 0

    # ------------------------------------------------------------------- operands

    def bits(self, name: str, width: int) -> int:
        """An operand as an unsigned integer."""
        value = self.value(name)
        if isinstance(value, float):
            code = "d" if name.startswith(("%fd", "0d")) else "f"
            return int.from_bytes(struct.pack(code, value), "little")
        return int(value) & ((1 << width) - 1)

    def value(self, name: str) -> Any:
        """An operand as it is."""
        if name in self.registers:
            return self.registers[name]
        if name[:2] in ("0d", "0f"):
            data = bytes.fromhex(name[2:])
            return struct.unpack(">d" if name[1] == "d" else ">f", data)[0]
        if name in self.symbols:
            return self.symbols[name]
        return int(name, 0)

    def read(self, name: str, kind: str) -> Any:
        """An operand at a type."""
        if kind == "pred":
            return bool(self.value(name))
        width = int(kind[1:])
        if kind[0] == "f":
            value = self.value(name)
            return value if isinstance(value, float) else unpacked(value, width)
        found = self.bits(name, width)
        return (
            found - (1 << width) if kind[0] == "s" and found >> (width - 1) else found
        )

    def write(self, name: str, value: Any) -> None:
        """Set a register: bits become what its class holds."""
        if name == "_":
            return
        if name.startswith("%fd"):
            value = value if isinstance(value, float) else unpacked(value, 64)
        elif name.startswith("%f"):
            value = single(value) if isinstance(value, float) else unpacked(value, 32)
        elif not name.startswith("%p") or name.startswith("%pd"):
            mask = (
                16 if name.startswith("%rs") else 64 if name.startswith(_WIDE) else 32
            )
            value = int(value) & ((1 << mask) - 1)
        self.registers[name] = value

    # ------------------------------------------------------------------- instructions

    def do(self, op: list[str], args: list[str]) -> None:
        """One instruction."""
        kind = op[-1]
        if op[0] in ("ld", "st"):
            self._move(op, kind, args)
        elif op[0] == "mov":
            self._copy(kind, args)
        elif op[0] == "cvt":
            self.write(args[0], converted(self.read(args[1], kind), op))
        elif op[0] == "cvta":
            self.write(args[0], self.value(args[1]))
        elif op[0] == "call":
            self._call(args)
        elif op[0] == "setp":
            a, b = (self.read(x, kind) for x in args[1:3])
            self.write(args[0], compared(op[1], a, b))
        elif op[0] == "selp":
            chosen = args[1] if self.registers[args[3]] else args[2]
            self.write(args[0], self.value(chosen))
        elif op[0] in ("add", "addc", "sub", "subc", "mad", "madc") and (
            "cc" in op or op[0].endswith("c")
        ):
            self._carried(op, kind, args)
        else:
            values = [self.read(x, kind) for x in args[1:]]
            if op[:2] == ["mad", "wide"] or op[:2] == ["fma", "wide"]:
                raise NotImplementedError(".".join(op))
            if op[0] == "clz":
                values = [self.bits(args[1], int(kind[1:])), int(kind[1:])]
            if op[0] in ("shl", "shr"):
                values[1] = self.bits(args[2], 32)
            self.write(args[0], computed(op, kind, values))

    def _move(self, op: list[str], kind: str, args: list[str]) -> None:
        place, register = (args[1], args[0]) if op[0] == "ld" else args
        base, _, offset = place.strip("[]").partition("+")
        if op[1] == "param":
            key = base, int(offset or 0)
            if op[0] == "ld":
                self.write(register, self.params[key])
            else:
                self.params[key] = self.read(register, kind)
            return
        size = int(kind[1:]) // 8
        at = self.value(base) + int(offset or 0)
        memory = self.machine.memory
        for k, name in enumerate(register.strip("{}").split(",")):
            here = slice(at + k * size, at + (k + 1) * size)
            if op[0] == "ld":
                found = int.from_bytes(memory[here], "little", signed=kind[0] == "s")
                self.write(name.strip(), found)
            else:
                data = self.bits(name.strip(), 8 * size)
                memory[here] = data.to_bytes(size, "little")

    def _copy(self, kind: str, args: list[str]) -> None:
        if kind == "pred":
            self.write(args[0], bool(self.value(args[1])))
            return
        width = int(kind[1:])
        if args[0].startswith("{"):
            low, high = (x.strip() for x in args[0].strip("{}").split(","))
            found = self.bits(args[1], width)
            self.write(low, found & ((1 << width // 2) - 1))
            self.write(high, found >> width // 2)
        elif args[1].startswith("{"):
            low, high = (x.strip() for x in args[1].strip("{}").split(","))
            parts = self.bits(low, width // 2), self.bits(high, width // 2)
            self.write(args[0], parts[0] | parts[1] << width // 2)
        else:
            self.write(args[0], self.bits(args[1], width))

    def _call(self, args: list[str]) -> None:
        out, name, given = args
        names = [x.strip() for x in given.strip("()").split(",")]
        function = self.machine.functions[name]
        found = function.run([self.params[n, 0] for n in names])
        for (param, offset), value in found.items():
            if param in function.outs:
                self.params[out.strip("()").strip(), offset] = value

    def _carried(self, op: list[str], kind: str, args: list[str]) -> None:
        width = int(kind[1:])
        values = [self.bits(x, width) for x in args[1:]]
        if op[0].startswith("mad"):
            product = values[0] * values[1]
            part = product >> width if "hi" in op else product & ((1 << width) - 1)
            values = [part, values[2]]
        carry = self.carry if op[0].endswith("c") else 0
        a, b = values
        total = a - b - carry if op[0].startswith("sub") else a + b + carry
        if "cc" in op:
            self.carry = int(not 0 <= total < 1 << width)
        self.write(args[0], total)
