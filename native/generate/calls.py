"""Writes selftrace/calls/_x86_64.py from the files in data/: `python native/generate/calls.py [--check|--refresh]`.

--check: exit 1 if what is committed differs from a fresh generation (CI). --refresh: gathers data/constants-x86_64.json
again from the kernel's UAPI headers with gcc (linux-libc-dev). Everything else needs the committed files only.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"
ARCH = "x86_64"
TARGET = HERE.parent.parent / "selftrace" / "calls" / f"_{ARCH}.py"

# Sets whose values come from headers: name → (header, prefix). They complete or replace the ones in flags-*.json.
HEADERS = {
    "open_flags": ("fcntl.h", r"O_(?!RDONLY$|ACCMODE)\w+"),
    "at_flags": ("linux/fcntl.h", r"AT_(?!FDCWD|HANDLE|RENAME|RECURSIVE|STATX)\w+"),
    "socket_domain": ("sys/socket.h", r"AF_(?!MAX)\w+"),
    "send_flags": ("linux/socket.h", r"MSG_\w+"),
    "mmap_prot": ("linux/mman.h", r"PROT_\w+"),
    "mmap_flags": ("linux/mman.h", r"MAP_(?!HUGE_|FILE|TYPE)\w+"),
    "clone_flags": ("linux/sched.h", r"CLONE_(?!ARGS)\w+"),
    "prctl_option": ("linux/prctl.h", r"PR_(?:GET|SET|CAP|CAPBSET|SCHED|TASK)_\w+"),
    "seccomp_op": ("linux/seccomp.h", r"SECCOMP_(?:SET_MODE|GET)_\w+"),
    "ioctl_request": ("asm/termbits.h> \n#include <linux/serial.h>\n#include <asm/ioctls.h", r"(?:TIOC|TC|FIO)\w+"),
    "ptrace_req": ("linux/ptrace.h", r"PTRACE_(?!EVENT|O_|PEEKSIGINFO_|EVENTMSG|SYSCALL_INFO|SYSCALL$|RSEQ|SUD)\w+"),
    "ip_protocol": ("netinet/in.h", r"IPPROTO_(?!MAX)\w+"),
}
ENUM_IN_HEADER = {"ip_protocol"}
# Names that are not bits but values; printed and parsed as one name.
ENUMS = frozenset(
    "socket_domain clock_id clock_type flock_op fadvise_flags futex_op getitimer_which kcmp_flags madvise_flags membarrier_cmd"
    " priority_which reboot_commands rlimit_type rusage_who sched_policy seek_whence shutdown_flags sigprocmask_how"
    " syslog_cmd waitid_which prctl_option seccomp_op ioctl_request ptrace_req ip_protocol mbind_mode".split()
)
# Argument sets that the data leaves unnamed.
NAMED = {
    ("prctl", 0): "prctl_option",
    ("seccomp", 0): "seccomp_op",
    ("ioctl", 1): "ioctl_request",
    ("socket", 2): "ip_protocol",
    ("socketpair", 2): "ip_protocol",
}
WIDE = re.compile(r"\*|^(?:const )?(?:unsigned )?long$|size_t|loff_t|off_t|aio_context_t|cap_user|__?u64|^u64|unsigned long")
SIGNED = re.compile(r"^(?:const )?(?:int|long|pid_t|ssize_t|loff_t|off_t|key_t|clockid_t)\b")
LINK_TEXT = frozenset({("symlink", 0), ("symlinkat", 0)})  # what a link says is no path that is looked up


def width(argument: dict[str, Any]) -> int:
    """Bytes that the kernel looks at."""
    ctype, meaning = argument.get("ctype"), argument.get("meaning") or ""
    if ctype:
        return 8 if WIDE.search(ctype) else 4
    return 4 if re.match(r"fd|sock|flags|pid|uid|gid|signalno|int32|int16|int8", meaning) else 8


def role(call: str, index: int, argument: dict[str, Any]) -> str:
    """One word for what an argument is: what policy and decoder go by."""
    meaning, name = argument.get("meaning") or "", argument["name"]
    if (call, index) in LINK_TEXT:
        return "text"
    if meaning.startswith("fd_dir") or name in ("dfd", "olddfd", "newdfd") or meaning == "const[AT_FDCWD]":
        return "dirfd"
    if re.match(r"fd|sock(?:\b|_)|sock$", meaning) or (name == "fd" and width(argument) == 4):
        return "fd"
    if "filename" in meaning:
        return "path"
    if "sockaddr" in meaning or "sockaddr" in (argument.get("ctype") or ""):
        return "sockaddr"
    if name == "mode" or "open_mode" in meaning or "mknod_mode" in meaning:
        return "mode"
    if meaning.startswith("flags") or name == "flags":
        return "flags"
    if re.match(r"len|bytesize", meaning):
        return "length"
    if meaning.startswith("buffer"):
        return "buffer"
    if meaning.startswith("pid"):
        return "pid"
    if meaning.startswith("signalno"):
        return "signal"
    if meaning.startswith("fileoff"):
        return "offset"
    return "pointer" if "*" in (argument.get("ctype") or "") or meaning.startswith("ptr") else "int"


def call_entry(call: dict[str, Any]) -> str:
    """A call's arguments in one string: name:ctype:width:signed:role:set, joined by |."""
    fields = []
    for index, argument in enumerate(call["args"]):
        if not argument["name"].isidentifier():
            continue  # calls without arguments have one named ")" in the data
        ctype = argument.get("ctype") or "long"
        found = re.match(r"flags\[(\w+)", argument.get("meaning") or "")
        name = NAMED.get((call["name"], index)) or (found.group(1) if found else "")
        signed = int(bool(SIGNED.match(ctype)))
        fields.append(
            ":".join((argument["name"], ctype, str(width(argument)), str(signed), role(call["name"], index, argument), name))
        )
    return "|".join(fields)


def groups() -> dict[str, list[str]]:
    """systemd's @groups, members as written there (other @groups included)."""
    found: dict[str, list[str]] = {}
    for line in (DATA / "groups-systemd.txt").read_text().splitlines():
        word = line.strip()
        if line.startswith("@"):
            members = found.setdefault(word, [])
        elif word and not word.startswith("#"):
            members.append(word)
    return found


def flag_sets() -> dict[str, dict[str, int]]:
    """Named values by set; the headers' win over the gathered ones."""
    sets = {name: dict(pairs) for name, pairs in json.loads((DATA / f"flags-{ARCH}.json").read_text())["flags"].items()}
    for name, values in json.loads((DATA / f"constants-{ARCH}.json").read_text())["sets"].items():
        sets[name] = {**sets.get(name, {}), **values}
    sets["open_flags"]["O_RDONLY"] = 0
    sets["socket_type"] = dict(sets["socket_type"])
    return sets


def render() -> str:
    """The text of the generated module."""
    calls = json.loads((DATA / f"calls-{ARCH}.json").read_text())["calls"]
    names = {call["name"] for call in calls}
    lines = [
        f'"""System calls of {ARCH}. Generated by native/generate/calls.py from native/generate/data: do not edit."""',
        "",
        "# fmt: off",
        f'ARCH = "{ARCH}"',
        "AUDIT_ARCH = 0xC000003E",
        "CALLS = {",
        *(f'    "{c["name"]}": ({c["nr"]}, "{call_entry(c)}"),' for c in sorted(calls, key=lambda c: c["nr"])),
        "}",
        "FLAGS = {",
    ]
    for name, values in sorted(flag_sets().items()):
        inside = ", ".join(f'"{k}": {v:#x}' for k, v in sorted(values.items(), key=lambda item: (item[1], item[0])))
        lines.append(f'    "{name}": {{{inside}}},')
    lines += ["}", f"ENUMS = frozenset({sorted(ENUMS)!r})", "GROUPS = {"]
    for name, members in sorted(groups().items()):
        kept = [m for m in members if m.startswith("@") or m in names]
        lines.append(f'    "{name}": "{" ".join(kept)}",')
    return "\n".join([*lines, "}", ""])


def refresh() -> None:
    """Gathers the constants anew."""
    sets = {}
    for name, (header, pattern) in HEADERS.items():
        source = f"#define _GNU_SOURCE\n#include <{header}>\n"
        text = subprocess.run(["gcc", "-E", "-dM", "-"], input=source, capture_output=True, text=True, check=True).stdout
        words = sorted(set(re.findall(rf"^#define ({pattern}) ", text, re.MULTILINE)))
        if name in ENUM_IN_HEADER:
            body = subprocess.run(["gcc", "-E", "-"], input=source, capture_output=True, text=True, check=True).stdout
            words = sorted(set(re.findall(rf"\b({pattern})\b", body)))
        program = source + "#include <stdio.h>\nint main(void) {\n"
        program += "".join(f'printf("{w} %llu\\n", (unsigned long long)({w}));\n' for w in words) + "return 0; }\n"
        binary = Path("/tmp") / f"selftrace-constants-{name}"
        subprocess.run(["gcc", "-w", "-x", "c", "-", "-o", binary], input=program, text=True, check=True)
        out = subprocess.run([binary], capture_output=True, text=True, check=True).stdout
        binary.unlink()
        sets[name] = {k: int(v) & 0xFFFFFFFFFFFFFFFF for k, v in (line.split() for line in out.splitlines())}
    version = subprocess.run(["dpkg-query", "-W", "linux-libc-dev"], capture_output=True, text=True, check=True).stdout
    about = f"Gathered with gcc from the UAPI and libc headers of {version.strip()} by native/generate/calls.py --refresh."
    (DATA / f"constants-{ARCH}.json").write_text(json.dumps({"about": about, "sets": sets}, indent=1) + "\n")


def main() -> int:
    """0: written, or fresh."""
    if "--refresh" in sys.argv:
        refresh()
    text = render()
    if "--check" in sys.argv:
        if TARGET.read_text() != text:
            print(f"{TARGET} is stale: run python native/generate/calls.py", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
