"""Writes the decoder's tables from data/decode.txt: `python native/generate/decode.py [--check|--refresh [INCLUDE...]]`.

native/trace/_tables.c and _tables.h are for the formatter, selftrace/calls/_decode_x86_64.py for whoever captures. --check:
exit 1 if what is committed differs from a fresh generation (CI). --refresh: gathers data/decode-x86_64.json (values, offsets,
ioctl names) again with gcc, from the headers of linux-libc-dev, or of INCLUDE folders before them: those of a newer kernel are
in the PyPI package ziglang, lib/libc/include/{x86-linux-any,any-linux-any}. Everything else needs the committed files only.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"
ROOT = HERE.parent.parent
ARCH = "x86_64"
VALUES = DATA / f"decode-{ARCH}.json"
KINDS = (
    "BYTES STRING PATH BUFFER RESULT ARRAY COUNTED IOVEC MSGHDR MMSGHDR STRINGS FD INDIRECT DECIMAL RETURNED IOCTL"
    " POINTERS FDS TEXT"
).split()
RESULT_ARG = 255
ENTRY, EXIT, FAILED = 1, 2, 4
RETURNS = {"hex": "HEX", "fd": "FD", "octal": "OCTAL", "pid": "PID", "unsigned": "UNSIGNED"}
SIMPLE = {
    "p": ("POINTER", 8),
    "fd": ("FD", 0x84),
    "dirfd": ("DIRFD", 0x84),
    "path": ("PATH", 8),
    "str": ("STRING", 8),
    "pid": ("PID", 0x84),
    "id": ("ID", 4),
    "mode": ("MODE", 2),
    "signal": ("SIGNAL", 4),
    "_": ("HIDDEN", 8),
}
NUMBERS = {"d": ("SIGNED", 0x80), "u": ("UNSIGNED", 0), "x": ("HEX", 0), "o": ("OCTAL", 0)}


@dataclass
class NameSet:
    """bits or enum of decode.txt."""

    bits: bool
    unknown: str
    headers: str
    words: list[str]


@dataclass
class Struct:
    """Fields as (label, member, type word, verbose only)."""

    headers: str
    ctype: str
    fields: list[tuple[str, str, str, bool]]


@dataclass
class Call:
    """A call's line."""

    types: list[str]
    custom: str
    returns: str
    restart: str
    captures: list[tuple[int, int, int, int, int]]


@dataclass
class Spec:
    """All of decode.txt."""

    sets: dict[str, NameSet] = field(default_factory=dict)
    structs: dict[str, Struct] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)


def read_fields(words: list[str]) -> list[tuple[str, str, str, bool]]:
    """The fields of a struct line."""
    found, verbose = [], False
    for word in words:
        if word == "...":
            verbose = True
            continue
        label, kind = word.split(":", 1)
        name, _, member = label.partition("=")
        found.append((name, member or name, kind, verbose))
    return found


def read_capture(word: str) -> tuple[int, int, int, int, int]:
    """KIND:ARG:LENGTH:WHEN:SIZE as numbers."""
    kind, arg, length, when, size = word.split(":")
    bits = sum({"n": ENTRY, "x": EXIT, "f": FAILED}[letter] for letter in when)
    return KINDS.index(kind.upper()), int(arg), int(length or 0), bits, int(size or 0)


def read_spec() -> Spec:
    """decode.txt."""
    spec = Spec()
    for line in (DATA / "decode.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        head, *words = line.split()
        if head in ("bits", "enum"):
            before, _, after = line.partition(": ")
            _, name, unknown, headers = before.rstrip(":").split()
            spec.sets[name] = NameSet(head == "bits", "" if unknown == "-" else unknown, headers, after.split())
        elif head == "struct":
            found = re.match(r'struct (\w+) (\S+) "([^"]*)"(?:: (.*))?$', line)
            assert found, line
            if found[3] != "-":
                spec.structs[found[1]] = Struct(found[2], found[3], read_fields(found[4].split()))
        else:
            before, _, after = line.partition(";")
            plain, _, restart = before.partition("~")
            shown, _, returns = plain.partition("->")
            words = shown.split()[1:]
            custom = words.pop(0)[1:] if words and words[0].startswith("!") else ""
            spec.calls[head] = Call(words, custom, returns.strip(), restart.strip(), [read_capture(w) for w in after.split()])
    return spec


# ---- values -----------------------------------------------------------------------------------------------------------


def preprocess(headers: str, include: list[str], *flags: str) -> str:
    """What gcc makes of a few headers."""
    source = "#define _GNU_SOURCE\n" + "".join(f"#include <{h}>\n" for h in headers.split(",") if h != "-")
    ways = [f"-isystem{folder}" for folder in include]
    done = subprocess.run(["gcc", "-E", *flags, *ways, "-"], input=source, capture_output=True, text=True)
    if done.returncode:
        print(f"{headers}: {done.stderr.splitlines()[0]}", file=sys.stderr)
    return done.stdout


def run_program(headers: str, include: list[str], body: str, options: str = "") -> str:
    """The output of a program that only prints."""
    source = "#define _GNU_SOURCE\n" + "".join(f"#include <{h}>\n" for h in headers.split(",") if h != "-")
    source += f"#include <stddef.h>\n#include <stdio.h>\n{options}int main(void) {{\n{body}return 0; }}\n"
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "values"
        ways = [f"-isystem{place}" for place in include]
        done = subprocess.run(["gcc", "-w", "-x", "c", *ways, "-", "-o", binary], input=source, text=True, capture_output=True)
        if done.returncode:
            raise ValueError(f"{headers}: {done.stderr}")
        return subprocess.run([binary], capture_output=True, text=True, check=True).stdout


def gather_set(name: str, names: NameSet, include: list[str]) -> list[list[Any]]:
    """[[name, value], ...] in the order in which they are shown."""
    macros = preprocess(names.headers, include, "-dM")
    text = preprocess(names.headers, include)
    defined = set(re.findall(r"^#define (\w+) \S", macros, re.MULTILINE))
    known = defined | set(re.findall(r"\b[A-Za-z_]\w+\b", text))
    given: dict[str, int] = {}
    ordered: list[list[str]] = []
    for word in names.words:
        if word.startswith("/"):
            pattern = re.compile(word.strip("/") if word.endswith("$/") else word.strip("/") + "$")
            everything = defined | set(re.findall(r"\b[A-Z_]\w+\b(?=\s*[,=}])", text))
            ordered.append(sorted(w for w in everything if pattern.match(w)))
        elif "=" in word:
            key, literal = word.split("=")
            number, _, size = literal.partition(":")
            base = 8 if re.match(r"0[0-7]", number) else 0
            given[key] = int(number, base) & (0xFFFFFFFF if size == "4" else 0xFFFFFFFFFFFFFFFF)
            ordered.append([key])
        elif word in known:
            ordered.append([word])
        else:
            print(f"{name}: no {word} in {names.headers}", file=sys.stderr)
    wanted = sorted({w for group in ordered for w in group} - set(given))
    body = "".join(f'printf("{w} %llu\\n", (unsigned long long)({w}));\n' for w in wanted)
    out = run_program(names.headers, include, body) if wanted else ""
    values = {**{k: int(v) for k, v in (line.split() for line in out.splitlines())}, **given}
    found: list[list[Any]] = []
    for group in ordered:
        for key in sorted(group, key=lambda w: (values[w], w)):
            bits = values[key]
            if bits >> 31 == 0x1FFFFFFFF:
                bits &= 0xFFFFFFFF  # int constants
            if all(bits != other for _, other in found):
                found.append([key, bits])
    return found


def gather_struct(name: str, names: Struct, include: list[str]) -> dict[str, Any]:
    """Size, and of each field offset, size, number of elements, 1 if it is signed."""
    body = 'printf(". %zu 0 0 0\\n", sizeof(T));\n'
    for _, member, kind, _ in names.fields:
        whole = f"((T *)0)->{member}"
        if kind[0] in ".@" or kind in ("chars", "text", "blob"):
            body += f'printf("{member} %zu %zu 1 0\\n", offsetof(T, {member}), sizeof({whole}));\n'
            continue
        one = f"{whole}[0]" if kind.endswith("[]") else whole
        body += (
            f'printf("{member} %zu %zu %zu %d\\n", offsetof(T, {member}), sizeof({one}), sizeof({whole}) / sizeof({one}), '
            f"(__typeof__({one}))-1 < 1);\n"
        )
    options = "struct timespec64 { long tv_sec; unsigned long tv_nsec; };\n" if "timespec64" in names.ctype else ""
    options += f"typedef {names.ctype} T;\n"
    out = run_program(names.headers, include, body, options)
    rows = {line.split()[0]: [int(n) for n in line.split()[1:]] for line in out.splitlines()}
    return {"size": rows.pop(".")[0], "fields": rows}


IOCTL_SKIP = re.compile(r"^(?:linux/(?:byteorder|dvb/audio|dvb/video|netfilter)|asm-generic|rdma|xen/)")


def gather_ioctls(include: list[str]) -> dict[str, list[str]]:
    """Number → names, of all headers that stand on their own."""
    folders = [Path(f) for f in include] or [Path("/usr/include"), Path("/usr/include/x86_64-linux-gnu")]
    found: dict[str, list[str]] = {}
    headers = sorted({str(p.relative_to(f)) for f in folders for p in f.rglob("*.h")})
    plain = {
        "asm-generic/ioctls.h": r"T[CI]\w+|FIO\w+|TIO\w+",
        "linux/sockios.h": r"SIO\w+",
        "linux/kd.h": r"(?:KD|GIO_|PIO_)\w+",
        "linux/vt.h": r"VT_\w+",
        "linux/loop.h": r"LOOP_(?:SET|CLR|GET|CHANGE|CTL|CONFIGURE)\w*",
        "linux/cdrom.h": r"(?:CDROM|DVD_)[A-Z_]+",
        "linux/hdreg.h": r"HDIO_\w+",
        "linux/ppp-ioctl.h": r"PPPIO\w+",
    }
    for header in headers:
        if not re.match(r"(?:linux|sound|drm|misc|mtd|scsi|asm-generic|fwctl|video)/", header):
            continue
        text = "".join((f / header).read_text(errors="replace") for f in folders if (f / header).exists())
        names = set(re.findall(r"#\s*define\s+([A-Z]\w+)\s+(?:DRM_)?_?IO(?:R|W|WR|C|_BAD)?\w*\s*\(", text))
        if header in plain:
            names |= {n for n in re.findall(r"#\s*define\s+(\w+)\s+(?:0x|\(?0x|SIO)", text) if re.fullmatch(plain[header], n)}
        if not names or (IOCTL_SKIP.match(header) and header not in plain):
            continue
        macros = set(re.findall(r"^#define (\w+) ", preprocess(header, include, "-dM"), re.MULTILINE))
        for name, value in ioctl_values(header, sorted(names & macros), include).items():
            found.setdefault(f"{value:#x}", []).append(name)
    return {k: sorted(set(v)) for k, v in sorted(found.items(), key=lambda item: int(item[0], 16))}


def ioctl_values(header: str, names: list[str], include: list[str]) -> dict[str, int]:
    """Of one header; names whose structures it does not declare are left out one by one."""
    while names:
        body = "".join(f'printf("{w} %lu\\n", (unsigned long)({w}) & 0xffffffff);\n' for w in names)
        try:
            plain = "linux/types.h,linux/ioctl.h,sys/types.h,sys/time.h,"
            extra = "asm/termbits.h," if header.startswith("asm") else plain  # struct termios2
            out = run_program(extra + header, include, "#line 1\n" + body)
        except ValueError as problem:
            bad = {int(n) for n in re.findall(r"<stdin>:(\d+):\d+: error", str(problem))}
            kept = [w for i, w in enumerate(names, 1) if i not in bad]
            if len(kept) == len(names):
                return {}
            names = kept
            continue
        return {k: int(v) for k, v in (line.split() for line in out.splitlines())}
    return {}


def gather_errors(include: list[str]) -> list[list[Any]]:
    """[[name, number, text], ...]; the texts are the C library's, in English."""
    macros = preprocess("errno.h", include, "-dM")
    words = sorted(
        set(re.findall(r"^#define (E[A-Z0-9]+) ", macros, re.MULTILINE))
        - {"EWOULDBLOCK", "EDEADLOCK", "ENOTSUP", "EFSBADCRC", "EFSCORRUPTED", "EFTYPE"}
    )
    out = run_program("errno.h", include, "".join(f'printf("{w} %d\\n", {w});\n' for w in words))
    pairs = [(k, int(v)) for k, v in (line.split() for line in out.splitlines())]
    return sorted(([k, v, os.strerror(v)] for k, v in pairs), key=lambda row: row[1])


def tried(gather: Any, name: str, what: Any, include: list[str]) -> Any:
    """Says which line of decode.txt the compiler does not like."""
    try:
        return gather(name, what, include)
    except ValueError as problem:
        raise SystemExit(f"decode.txt: {name}: {problem}") from None


def refresh(include: list[str]) -> None:
    """Gathers the values anew."""
    spec = read_spec()
    data: dict[str, Any] = {
        "about": "",
        "sets": {name: tried(gather_set, name, s, include) for name, s in spec.sets.items()},
        "structs": {name: tried(gather_struct, name, s, include) for name, s in spec.structs.items()},
        "errors": gather_errors(include),
    }
    old = json.loads(VALUES.read_text()) if VALUES.exists() else {}
    data["ioctls"] = old["ioctls"] if "--keep-ioctls" in sys.argv and "ioctls" in old else gather_ioctls(include)
    version = preprocess("linux/version.h", include, "-dM")
    found = [re.search(rf"LINUX_VERSION_{part} (\d+)", version) for part in ("MAJOR", "PATCHLEVEL")]
    kernel = ".".join(f[1] for f in found if f)
    data["about"] = f"Gathered with gcc from the UAPI headers of Linux {kernel} by native/generate/decode.py --refresh."
    lines = [f'"about": {json.dumps(data["about"])}']
    for part in ("sets", "structs", "ioctls"):
        lines.append(f'"{part}": {{\n' + ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in data[part].items()) + "\n}")
    lines.append(f'"errors": {json.dumps(data["errors"])}')
    VALUES.write_text("{\n" + ",\n".join(lines) + "\n}\n")


# ---- tables -----------------------------------------------------------------------------------------------------------


@dataclass
class Writer:
    """Numbers of sets, structures and printers, as the tables go."""

    spec: Spec
    values: dict[str, Any]
    printers: list[str] = field(default_factory=list)

    def set_number(self, name: str) -> int:
        return list(self.spec.sets).index(name)

    def struct_number(self, name: str) -> int:
        return list(self.spec.structs).index(name)

    def printer(self, name: str) -> int:
        if name not in self.printers:
            self.printers.append(name)
        return self.printers.index(name)

    def type_of(self, word: str) -> tuple[str, int, int, str, int, str]:
        """kind, size, aux, when, ref, inner."""
        when = "ST_CAPTURE_EXIT" if re.match(r"<?>", word) and not word.startswith("<>") else "ST_CAPTURE_ENTRY"
        directed = word[:1] in "<>"
        word = word.lstrip("<>")
        base, _, parameter = word.partition("=")
        aux = int(parameter) if parameter else 0
        if base in SIMPLE:
            return f"ST_V_{SIMPLE[base][0]}", SIMPLE[base][1], aux, when, 0, "0"
        number = re.fullmatch(r"([duxo])([1248]?)", base)
        if number:
            kind, sign = NUMBERS[number[1]]
            return f"ST_V_{kind}", sign | int(number[2] or 4), aux, when, 0, "0"
        if base == "creat":
            return "ST_V_CREATE", 2, aux, when, 0, "0"
        if base == "buf":
            return ("ST_V_BUFFER" if parameter else "ST_V_FILLED"), 8, aux, when, 0, "0"
        if base.startswith("["):
            inner = self.type_of(base.strip("[]"))
            return "ST_V_POINTED", inner[1], 0, when, inner[4], inner[0]
        if base.startswith("@"):
            return "ST_V_CUSTOM", 8, aux, when, self.printer(base[1:].split(":")[0]), "0"
        if directed:
            name, _, count = base.partition("*")
            if not count:
                return "ST_V_STRUCT", 8, aux, when, self.struct_number(name), "ST_V_STRUCT"
            return "ST_V_ARRAY", 8, 15 if count == "r" else int(count), when, self.struct_number(name), "ST_V_STRUCT"
        name, _, size = base.partition(":")
        return "ST_V_SET", int(size or 4), aux, when, self.set_number(name), "0"

    def type_text(self, word: str) -> str:
        kind, size, aux, when, ref, inner = self.type_of(word)
        return f"{{{kind}, {size:#x}, {aux}, {when}, {ref}, {inner}}}"

    def field_text(self, struct: str, label: str, member: str, word: str, verbose: bool) -> str:
        offset, size, count, _ = self.values["structs"][struct]["fields"][member]
        if word.startswith("."):
            inner = word[1:]
            count = size // self.values["structs"][inner]["size"]
            kind = f"{{ST_V_INLINE, 8, 0, 1, {self.struct_number(inner)}, 0}}"
        elif word in ("chars", "text", "blob"):
            # sizes of character arrays come as one element
            count = size * max(count, 1)
            kind = f"{{ST_V_{'BLOB' if word == 'blob' else 'CHARS'}, 1, {int(word == 'text')}, 1, 0, 0}}"
        elif word.startswith("@"):
            kind = f"{{ST_V_CUSTOM, 0, 0, 1, {self.printer(word[1:])}, 0}}"
            count = 1
        else:
            base = word.split(":")[0].removesuffix("[]")
            name = self.type_of(base)
            sign = 0x80 if (base == "d" or name[1] & 0x80) else 0
            width = size if size in (1, 2, 4, 8) else 8
            kind = f"{{{name[0]}, {sign | width:#x}, 0, 1, {name[4]}, {name[5]}}}"
        return f'    {{"{label}", {kind}, {offset}, {count}, {int(verbose)}}},'

    def sets_text(self) -> list[str]:
        lines = []
        for name, s in self.spec.sets.items():
            pairs = [(k, v) for k, v in self.values["sets"][name]]
            # Values for a binary search; bits as they are shown, the name of 0 first.
            pairs = sorted(pairs, key=(lambda pair: pair[1] != 0) if s.bits else (lambda pair: pair[1]))
            inside = " ".join(f'{{{v:#x}, "{k}"}},' for k, v in pairs) or "{0, 0},"
            lines.append(f"static const struct st_name names_{name}[] = {{{inside}}};")
        lines.append("const struct st_set st_sets[] = {")
        for name, s in self.spec.sets.items():
            pairs = self.values["sets"][name]
            zero = int(s.bits and any(v == 0 for _, v in pairs))
            unknown = f'"{s.unknown}"' if s.unknown else "NULL"
            lines.append(f'    {{"{name}", {unknown}, names_{name}, {len(pairs)}, {int(s.bits)}, {zero}}},')
        return [*lines, "};"]

    def structs_text(self) -> list[str]:
        lines = []
        for name, s in self.spec.structs.items():
            lines.append(f"static const struct st_field fields_{name}[] = {{")
            lines += [self.field_text(name, *f) for f in s.fields]
            lines.append("};")
        lines.append("const struct st_struct st_structs[] = {")
        for name, s in self.spec.structs.items():
            cut = int(any(f[3] for f in s.fields))
            lines.append(f'    {{"{name}", fields_{name}, {self.values["structs"][name]["size"]}, {len(s.fields)}, {cut}}},')
        return [*lines, "};"]

    def calls_text(self, numbers: dict[str, int], arguments: dict[str, list[str]]) -> list[str]:
        lines = []
        for name, call in self.spec.calls.items():
            if call.types:
                inside = ", ".join(self.type_text(w) for w in call.types)
                lines.append(f"static const struct st_type types_{name}[] = {{{inside}}};")
        lines.append("const struct st_row st_rows[ST_TRACE_CALLS] = {")
        for name, call in sorted(self.spec.calls.items(), key=lambda item: numbers[item[0]]):
            types = f"types_{name}" if call.types else "NULL"
            custom = f"st_call_{call.custom}" if call.custom else "NULL"
            returns = RETURNS.get(call.returns, "SIGNED")
            restart = (call.restart or "never").upper()
            numbers_of = f"{len(call.types)}, ST_RETURNS_{returns}, ST_RESTART_{restart}"
            named = " ".join(arguments[name][: len(call.types)])
            lines.append(f'    [{numbers[name]}] = {{"{name}", "{named}", {types}, {custom}, {numbers_of}}},')
        return [*lines, "};"]

    def errors_text(self) -> list[str]:
        rows = self.values["errors"]
        lines = ["const struct st_error st_errors[ST_ERRORS] = {", *(f'    [{v}] = {{"{k}", "{t}"}},' for k, v, t in rows)]
        return [*lines, "};"]

    def ioctls_text(self) -> list[str]:
        lines = ["const struct st_name st_ioctls[] = {"]
        lines += [f'    {{{k}, "{" or ".join(v)}"}},' for k, v in self.values["ioctls"].items()]
        return [*lines, "};", f"const uint32_t st_ioctl_count = {len(self.values['ioctls'])};"]


ABOUT = "Generated by native/generate/decode.py from native/generate/data/decode.txt: do not edit."


def tables(writer: Writer, numbers: dict[str, int], arguments: dict[str, list[str]]) -> tuple[str, str]:
    """_tables.c and _tables.h."""
    spec = writer.spec
    body = [
        *writer.sets_text(),
        *writer.structs_text(),
        *writer.calls_text(numbers, arguments),
        *writer.errors_text(),
        *writer.ioctls_text(),
        "const st_printer st_printers[] = {",
        *(f"    st_print_{name}," for name in writer.printers),
        "};",
    ]
    c = [f"/* {ABOUT} */", "/* clang-format off */", '#include "text.h"', *body, ""]
    customs = sorted({call.custom for call in spec.calls.values() if call.custom})
    h = [
        f"/* {ABOUT} */",
        "/* clang-format off */",
        "#ifndef ST_TABLES_H",
        "#define ST_TABLES_H",
        "enum {",
        *(f"    ST_SET_{name.upper()}," for name in spec.sets),
        "};",
        "enum {",
        *(f"    ST_STRUCT_{name.upper()}," for name in spec.structs),
        "};",
        *(f"int st_call_{name}(struct st_decoder *d);" for name in customs),
        *(f"void st_print_{name}(struct st_decoder *d, uint64_t value, const struct st_type *type);" for name in writer.printers),
        "extern const struct st_name st_ioctls[];",
        "extern const uint32_t st_ioctl_count;",
        "#endif",
        "",
    ]
    return "\n".join(c), "\n".join(h)


def implied(writer: Writer, index: int, word: str) -> list[tuple[int, int, int, int, int]]:
    """The captures that a type needs."""
    kind, size, aux, when, ref, _ = writer.type_of(word)
    moment = EXIT if when == "ST_CAPTURE_EXIT" else ENTRY
    names = list(writer.spec.structs)
    if kind == "ST_V_PATH":
        return [(KINDS.index("PATH"), index, 0, moment, 0)]
    if kind == "ST_V_STRING":
        return [(KINDS.index("STRING"), index, 0, moment, 0)]
    if kind == "ST_V_BUFFER":
        return [(KINDS.index("BUFFER"), index, aux, moment, 1)]
    if kind == "ST_V_FILLED":
        return [(KINDS.index("RESULT"), index, 0, moment, 1)]
    if kind == "ST_V_STRUCT":
        return [(KINDS.index("BYTES"), index, 0, moment, int(writer.values["structs"][names[ref]]["size"]))]
    if kind == "ST_V_ARRAY":
        width = int(writer.values["structs"][names[ref]]["size"])
        if aux == 15:
            return [(KINDS.index("RESULT"), index, 0, moment, width)]
        return [(KINDS.index("ARRAY"), index, aux, moment, width)]
    if kind == "ST_V_POINTED":
        return [(KINDS.index("BYTES"), index, 0, moment, size & 15)]
    return []


def descriptors(call: Call) -> list[tuple[int, int, int, int, int]]:
    """What -y needs besides."""
    found = []
    for index, word in enumerate(call.types):
        if word in ("fd", "dirfd", "@fd_cloexec"):
            found.append((KINDS.index("FD"), index, 0, ENTRY, 0))
    if call.returns == "fd":
        found.append((KINDS.index("FD"), RESULT_ARG, 0, EXIT, 0))
    return found


def module(writer: Writer, numbers: dict[str, int]) -> str:
    """selftrace/calls/_decode_x86_64.py."""
    lines = [
        f'"""What is captured of a call, for its presentation. {ABOUT}"""',
        "",
        "# fmt: off",
        "# sysno: (type words, captures, captures of descriptors' links), a capture being (kind, arg, length, when, size)",
        "Capture = tuple[int, int, int, int, int]",
        "CALLS: dict[int, tuple[str, tuple[Capture, ...], tuple[Capture, ...]]] = {",
    ]
    for name, call in sorted(writer.spec.calls.items(), key=lambda item: numbers[item[0]]):
        derived = [c for i, w in enumerate(call.types) for c in implied(writer, i, w)] if not call.custom else []
        own = {(c[0], c[1]) for c in call.captures}
        links = [c for c in call.captures if KINDS[c[0]] in ("FDS", "FD")]
        captures = [c for c in derived if (c[0], c[1]) not in own] + [c for c in call.captures if c not in links]
        if call.custom:
            captures += [
                c
                for i, w in enumerate(call.types)
                if w in ("path", "str")
                for c in implied(writer, i, w)
                if (c[0], c[1]) not in own
            ]
        extra = descriptors(call) + links
        lines.append(f'    {numbers[name]}: ("{" ".join(call.types)}", {tuple(captures)!r}, {tuple(extra)!r}),  # {name}')
    lines += ["}", "SETS: dict[str, tuple[bool, dict[str, int]]] = {"]
    for name, s in writer.spec.sets.items():
        inside = ", ".join(f'"{k}": {v:#x}' for k, v in writer.values["sets"][name])
        lines.append(f'    "{name}": ({s.bits}, {{{inside}}}),')
    lines += ["}", "STRUCTS: dict[str, tuple[int, tuple[tuple[str, str, int, int, int], ...]]] = {"]
    for name, st in writer.spec.structs.items():
        data = writer.values["structs"][name]
        fields = tuple((f[0], f[2], *data["fields"][f[1]][:3]) for f in st.fields)
        lines.append(f'    "{name}": ({data["size"]}, {fields!r}),')
    return "\n".join([*lines, "}", ""])


def render() -> dict[Path, str]:
    """All that is generated."""
    writer = Writer(read_spec(), json.loads(VALUES.read_text()))
    calls = json.loads((DATA / f"calls-{ARCH}.json").read_text())["calls"]
    numbers = {c["name"]: c["nr"] for c in calls}
    arguments = {c["name"]: [a["name"] for a in c["args"] if a["name"].isidentifier()] for c in calls}  # ")": there are none
    c, h = tables(writer, numbers, arguments)
    return {
        ROOT / "native" / "trace" / "_tables.c": c,
        ROOT / "native" / "trace" / "_tables.h": h,
        ROOT / "selftrace" / "calls" / f"_decode_{ARCH}.py": module(writer, numbers),
    }


def main() -> int:
    """0: written, or fresh."""
    if "--refresh" in sys.argv:
        refresh([a for a in sys.argv[1:] if not a.startswith("--")])
    files = render()
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path} is stale: run python native/generate/decode.py", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(files[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
