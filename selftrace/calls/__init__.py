"""What a system call is: numbers, names, arguments, named values, groups. Knows no policy."""

from selftrace.calls.flags import flag_names, flag_value, parse_number
from selftrace.calls.format import format_call, format_sockaddr, quote
from selftrace.calls.groups import expand_group, group_names
from selftrace.calls.names import errno_name, errno_value, nearest, signal_name, signal_value
from selftrace.calls.parse import ParsedCall, parse_address, parse_call
from selftrace.calls.table import Arg, Call, Table, table

__all__ = [
    "Arg",
    "Call",
    "ParsedCall",
    "Table",
    "errno_name",
    "errno_value",
    "expand_group",
    "flag_names",
    "flag_value",
    "format_call",
    "format_sockaddr",
    "group_names",
    "nearest",
    "parse_address",
    "parse_call",
    "parse_number",
    "quote",
    "signal_name",
    "signal_value",
    "table",
]
