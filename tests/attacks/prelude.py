# In front of every attack program: `call(nr, *args)` makes a system call by the route under test and returns the result
# or -errno. "libc" is what any program does; "gate" is machine code that jumps to the interposer's own syscall
# instruction, whose address it reads where everybody can; "foreign" is a syscall instruction in a page of its own.
import ctypes
import mmap
import os
import sys

ROUTE = sys.argv[1]
BLOB, GATE_CALL = 0x7E9000000000, int(sys.argv[2])
_libc = ctypes.CDLL(None, use_errno=True)


def _machine(code):
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    _kept.append(page)
    return address


_kept = []
_LONG = ctypes.c_long
# mov rax,rdi; mov rdi,rsi; mov rsi,rdx; mov rdx,rcx; mov r10,r8; mov r8,r9; mov r9,[rsp+8]
_SHUFFLE = bytes.fromhex("4889f84889f74889d64889ca4d89c24d89c84c8b4c2408")


def _raw(tail):
    return ctypes.CFUNCTYPE(_LONG, *[_LONG] * 7)(_machine(_SHUFFLE + tail))


if ROUTE == "gate":
    gate = ctypes.c_uint64.from_address(BLOB + GATE_CALL).value
    _call = _raw(b"\x49\xbb" + gate.to_bytes(8, "little") + b"\x41\xff\xe3")  # mov r11,gate; jmp r11
elif ROUTE == "foreign":
    _call = _raw(b"\x0f\x05\xc3")  # syscall; ret
else:
    _libc.syscall.restype = _LONG

    def _call(*args):
        ctypes.set_errno(0)
        result = _libc.syscall(*map(_LONG, args))
        return -ctypes.get_errno() if result == -1 else result


def pointer(value):
    if isinstance(value, bytes):
        value = ctypes.create_string_buffer(value)
    if isinstance(value, ctypes.Array):
        _kept.append(value)
        return ctypes.addressof(value)
    return value


def call(nr, *args):
    words = [pointer(arg) for arg in args]
    words += [0] * (6 - len(words))
    return _call(nr, *[word - (1 << 64) if word >= 1 << 63 else word for word in words])


AT_FDCWD = -100


def breach(condition, detail=""):
    print("BREACH" if condition else "held", detail, flush=True)
