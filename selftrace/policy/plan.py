"""A policy compiled for one kernel: what each tier gets, and one row of explanation per rule.

The plan is the contract between the policy compiler and everything below it: `kernel.bpf` turns
`filter` into instructions, `kernel.landlock` and `session` apply `landlock`, `limits` and
`identity`, `policy.encode` writes `native` for the interposer, `explain` prints `rows`.
Plain frozen data; nothing here touches a kernel.
"""

from __future__ import annotations

from typing import Literal

from selftrace.policy.model import ActionName, CountBy, Position, When
from selftrace.policy.terms import Features, LimitSpec
from selftrace.policy.transfers import Transfer
from selftrace.record import fresh, record

Enforcement = Literal["kernel", "supervisor", "supervisor-racy", "advisory", "unavailable"]
RANK: tuple[Enforcement, ...] = ("kernel", "supervisor", "supervisor-racy", "advisory", "unavailable")
"""Strongest first."""

Gate = Literal["integrity", "calls", "fs", "net", "process", "limits", "rule", "default"]


@record
class Row:
    """One rule as `explain` prints it. Its index in `Plan.rows` is the rule number everywhere:
    in the filter's trap data, in the native table and in the ring's records."""

    id: str
    gate: Gate
    decision: str
    """e.g. "error EPERM", "allow", "refuse"."""
    subject: str
    """What it speaks of, e.g. "@mount", "read /usr/**", "everything not listed"."""
    enforcement: Enforcement | None
    """None: the row denies nothing (an allow, a log), so no label applies."""
    where: Position | None = None
    note: str = ""
    remedy: str = ""
    """Template of the line that would allow it, `{path}` `{addr}` `{call}` filled in by the report;
    e.g. '[fs] read = ["{path}"]'. Empty: cannot be allowed."""


# --- the kernel's filter ------------------------------------------------------------------------


@record
class Condition:
    """A test of one scalar argument (unsigned).

    arg: 0..5. width: 4 or 8 bytes compared. op: eq ne lt le gt ge between any none only in masked.
    between: value ≤ x ≤ value2; any: x & value ≠ 0; none: x & value = 0; only: no bit outside
    value; in: x is one of values; masked: x & value = value2.
    """

    arg: int
    width: int
    op: str
    value: int = 0
    value2: int = 0
    values: tuple[int, ...] = ()


@record
class Decision:
    """What the filter answers.

    allow: run it. trap: SIGSYS outside the gate, run it from the gate. deny: SIGSYS outside the
    gate (so that it is reported), `errno` from the gate (so that it holds). errno: `errno`
    everywhere, unreported. kill: end the process.
    rule: index of the row, carried in the trap data (16 bits).
    """

    kind: Literal["allow", "trap", "deny", "errno", "kill"]
    errno: int = 0
    rule: int = 0


@record
class FilterRule:
    """Conditions (all must hold) on calls; first matching rule of a call decides."""

    sysnos: tuple[int, ...]
    conditions: tuple[Condition, ...]
    decision: Decision


@record
class FilterSpec:
    """Ordered rules; `default` for known calls that no rule matches, `unknown` for numbers that
    are not in `known`. Architecture and x32 checks are the compiler's own."""

    rules: tuple[FilterRule, ...]
    default: Decision
    unknown: Decision
    known: frozenset[int]


# --- the floor ------------------------------------------------------------------------------------


@record
class LandlockRule:
    """A grant below one existing path. access: names without the LANDLOCK_ACCESS_FS_ prefix, in
    lower case (e.g. "read_file", "read_dir", "execute", "write_file", "truncate", "make_reg")."""

    path: str
    access: frozenset[str]


@record
class LandlockSpec:
    """fs None: file system not restricted. tcp_connect/tcp_bind None: not restricted, else the
    ports allowed. scopes: of "abstract_unix_socket", "signal"."""

    fs: tuple[LandlockRule, ...] | None = None
    tcp_connect: tuple[int, ...] | None = None
    tcp_bind: tuple[int, ...] | None = None
    scopes: frozenset[str] = frozenset()


# --- the interposer's table -----------------------------------------------------------------------

Grant = Literal["read", "write", "exec"]
Follow = Literal["always", "never", "open_flags", "at_nofollow", "at_follow", "openat2"]


@record
class PathUse:
    """A path argument and the grant that the [fs] gate asks for it.

    dirfd: argument index, -1: relative to the working directory. path: argument index.
    grant "open": from the open flags (argument `flags`; openat2: the open_how at `flags`).
    follow: how the last component is treated; at_*: by AT_SYMLINK_NOFOLLOW / AT_SYMLINK_FOLLOW in
    argument `flags`.
    """

    dirfd: int
    path: int
    grant: Literal["read", "write", "exec", "open"]
    follow: Follow
    flags: int = -1


@record
class AddrUse:
    """A socket address argument: kind connect | bind | sendmsg | sendmmsg; argument indices.
    sendmsg, sendmmsg: `addr` is the msghdr argument."""

    kind: Literal["connect", "bind", "sendmsg", "sendmmsg"]
    fd: int
    addr: int
    length: int


@record
class PathPattern:
    """A pattern over resolved absolute paths (bytes), braces already expanded.

    kind exact: the object itself; tree: the object and everything below; glob: `text` with ? * **.
    """

    kind: Literal["exact", "tree", "glob"]
    text: bytes


@record
class AddrPattern:
    """family inet | inet6 | unix; address: packed network address (inet 4, inet6 16 bytes) or the
    unix path pattern; prefix: bits that count; ports inclusive; protocol tcp | udp | any."""

    family: Literal["inet", "inet6", "unix"]
    address: bytes = b""
    prefix: int = 0
    port_low: int = 0
    port_high: int = 65535
    protocol: Literal["any", "tcp", "udp"] = "any"


@record
class NativeMatch:
    """One condition of a native rule: exactly one of the fields is set.

    scalar: on an argument. paths: any of the patterns matches the call's path number `which`
    (0 = @path, 1 = @path2, 2 = @fd_path). addrs: any matches @addr. thread: tid equality is not
    used; "main" or "other". negate: the condition is inverted (op "ne").
    """

    scalar: Condition | None = None
    paths: tuple[PathPattern, ...] | None = None
    which: int = 0
    addrs: tuple[AddrPattern, ...] | None = None
    thread: Literal["main", "other"] | None = None
    negate: bool = False


@record
class NativeRule:
    """A [[rule]] or handler, evaluated in order inside the tracee.

    row: index in Plan.rows. action as in POLICY.md; "error" uses errno, "retval" value, and so on.
    handler: index in Plan.handlers for "python".
    """

    row: int
    sysnos: tuple[int, ...]
    matches: tuple[NativeMatch, ...]
    action: ActionName
    errno: int = 0
    value: int = 0
    """retval; short: bytes; syscall: its number."""
    content: bytes = b""
    signal: int = 0
    delay_us: int = 0
    handler: int = -1
    transfer: Transfer | None = None
    """Where the bytes are, for "short" and "data"."""
    when: When | None = None
    count_by: CountBy = "thread"
    scope: int = 0
    """In process: threads under any of these bits only; 0: all."""
    fired: int = 0
    """In process: 1 + the scope whose acts are counted; 0: they are not."""
    counter: int = -1
    """Its counter; -1: any that is free."""


Capture = tuple[int, int, int, int, int]
"""struct st_capture of native/selftrace.h: kind, arg, length, when, size."""


@record
class CallGate:
    """Gate 2 for one call inside the tracee: refused with errno_ (or kill), by `row`."""

    errno: int
    row: int
    kill: bool = False
    log: bool = False
    """Allowed, but reported."""
    quiet: bool = False
    """Refused without a report (probes that every honest program makes)."""
    conditions: tuple[Condition, ...] = ()
    """All must hold for the refusal; the first CallGate of a call whose conditions hold decides."""


@record
class NativeSpec:
    """All that the interposer decides by itself."""

    audit: bool = False
    hosts: bool = False
    """Programs may be started: the run keeps descriptors for the loader."""
    kill_on_error: bool = False
    """[default] on_error = "kill"."""
    calls: dict[int, tuple[CallGate, ...]] = fresh(default_factory=dict)
    """sysno → refusals of gates 2 and [process], in order; a call that is absent passes."""
    unknown_errno: int = 38
    unknown_row: int = 0
    path_uses: dict[int, tuple[PathUse, ...]] = fresh(default_factory=dict)
    addr_uses: dict[int, AddrUse] = fresh(default_factory=dict)
    fs_closed: bool = False
    """True: [fs] is present, paths outside the lists are refused (EACCES)."""
    fs_read: tuple[PathPattern, ...] = ()
    fs_write: tuple[PathPattern, ...] = ()
    fs_exec: tuple[PathPattern, ...] = ()
    fs_deny: tuple[tuple[PathPattern, int], ...] = ()
    """(pattern, row)."""
    fs_quiet: tuple[PathPattern, ...] = ()
    """Refused without a report: probes of honest programs."""
    fs_row: int = 0
    net_closed: bool = False
    net_connect: tuple[AddrPattern, ...] = ()
    net_bind: tuple[AddrPattern, ...] = ()
    net_row: int = 0
    integrity_row: int = 0
    rules: tuple[NativeRule, ...] = ()
    trace: bool = False
    """Signals and tasks are written into the ring as events, and the calls of `traced`."""
    trace_one: bool = False
    """Of the first thread alone."""
    stack: str = ""
    """What is captured of the stack with each call: nothing, "native" or "python"."""
    shim: str = ""
    """What is put into programs to read Python stacks: a path."""
    names: bool = False
    """Events have the names of tasks."""
    watched: bool = False
    """Nothing is refused: filters and io_uring are the program's business."""
    no_vdso: bool = False
    """Programs are started without a vDSO."""
    traced: dict[int, tuple[Capture, ...]] = fresh(default_factory=dict)
    """sysno → what is captured of it."""
    scopes: dict[int, int] = fresh(default_factory=dict)
    """sysno → the scopes that want its events, one bit each; a call that is absent: all."""
    string_limit: int = 32
    tasks: int = 0
    """Forks counted over the tree (advisory); 0: not counted."""
    tasks_row: int = 0


@record
class Handler:
    """A Python handler in the tracee: `module:function`, the row and the calls it is for."""

    module: str
    function: str
    row: int


@record
class Plan:
    """A policy compiled for one kernel."""

    name: str
    mode: Literal["enforce", "audit"]
    rows: tuple[Row, ...]
    filter: FilterSpec
    landlock: LandlockSpec | None
    native: NativeSpec
    handlers: tuple[Handler, ...]
    handler_files: tuple[tuple[str, bytes], ...]
    limits: LimitSpec
    drop_identity: bool
    """True: give up uid 0 and all capabilities."""
    features: Features
    degraded: tuple[str, ...] = ()
    """Sentences: what this kernel lacks and what follows, accepted by allow_degraded."""
    outside: bool = False
    """A supervisor holds it by ptrace, no interposer."""
    mounts_writable: tuple[str, ...] = ()
    """Directories outside the private one that [fs] write grants (identity needs to know)."""
