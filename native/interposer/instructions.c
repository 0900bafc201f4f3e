/* How long an x86-64 instruction is, and where it may lead: enough to know which bytes of a function are instructions. What is
 * not known for sure has length 0. */
#include "instructions.h"

enum { REX_W = 8 };
enum form {
    NONE,
    BYTE, /* immediates */
    WORD,
    WIDE,  /* 32 bits, or 16 */
    WHOLE, /* 64 bits with REX.W, else as WIDE */
    NEAR,  /* 32 bits, always */
    ENTER,
    ADDRESS,
    MODRM = 16, /* to be added to one of the above */
    TEST = 32,  /* F6 and F7: an immediate where the middle bits of ModRM are 0 or 1 */
    UNKNOWN = 64,
};

static uint32_t form_of(uint8_t op)
{
    if (op < 0x40) {
        uint32_t low = op & 7;
        return low < 4 ? MODRM : low == 4 ? BYTE : low == 5 ? WIDE : UNKNOWN;
    }
    if (op >= 0x50 && op < 0x60) return NONE;
    if (op >= 0x70 && op < 0x80) return BYTE;
    if (op >= 0x84 && op < 0x8f) return MODRM;
    if (op >= 0xb0 && op < 0xb8) return BYTE;
    if (op >= 0xb8 && op < 0xc0) return WHOLE;
    if (op >= 0xd8 && op < 0xe0) return MODRM;
    if (op >= 0xe0 && op < 0xe8) return BYTE;
    switch (op) {
    case 0x63:
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
    case 0xfe:
    case 0xff: return MODRM;
    case 0x69:
    case 0x81:
    case 0xc7: return MODRM + WIDE;
    case 0x6b:
    case 0x80:
    case 0x83:
    case 0xc0:
    case 0xc1:
    case 0xc6: return MODRM + BYTE;
    case 0x6a:
    case 0xa8:
    case 0xcd:
    case 0xeb: return BYTE;
    case 0x68:
    case 0xa9: return WIDE;
    case 0xe8:
    case 0xe9: return NEAR;
    case 0xc2:
    case 0xca: return WORD;
    case 0xc8: return ENTER;
    case 0xa0:
    case 0xa1:
    case 0xa2:
    case 0xa3: return ADDRESS;
    case 0xf6:
    case 0xf7: return TEST;
    case 0x60:
    case 0x61:
    case 0x62:
    case 0x82:
    case 0x8f: /* pop, or XOP */
    case 0x9a:
    case 0xc4:
    case 0xc5:
    case 0xce:
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xea: return UNKNOWN;
    default: return NONE;
    }
}

/* Behind 0f. */
static uint32_t form_of_second(uint8_t op)
{
    if (op >= 0x80 && op < 0x90) return NEAR;
    if (op >= 0x30 && op < 0x38) return op == 0x36 ? UNKNOWN : NONE;
    if (op >= 0xc8 && op < 0xd0) return NONE;
    switch (op) {
    case 0x05:
    case 0x06:
    case 0x07:
    case 0x08:
    case 0x09:
    case 0x0b:
    case 0x0e:
    case 0x77:
    case 0xa0:
    case 0xa1:
    case 0xa2:
    case 0xa8:
    case 0xa9:
    case 0xaa: return NONE;
    case 0x0f:
    case 0x70:
    case 0x71:
    case 0x72:
    case 0x73:
    case 0xa4:
    case 0xac:
    case 0xba:
    case 0xc2:
    case 0xc4:
    case 0xc5:
    case 0xc6: return MODRM + BYTE;
    case 0x04:
    case 0x0a:
    case 0x0c:
    case 0x20: /* moves of control registers have another ModRM */
    case 0x21:
    case 0x22:
    case 0x23:
    case 0x24:
    case 0x25:
    case 0x26:
    case 0x27:
    case 0x39:
    case 0x3b:
    case 0x3c:
    case 0x3d:
    case 0x3e:
    case 0x3f:
    case 0x7a:
    case 0x7b:
    case 0xa6:
    case 0xa7: return UNKNOWN;
    default: return MODRM;
    }
}

static uint32_t form_in_map(uint32_t map, uint8_t op)
{
    switch (map) {
    case 1: return form_of_second(op);
    case 2: return MODRM;
    case 3: return MODRM + BYTE;
    case 5: /* half precision, under EVEX */
    case 6: return MODRM;
    default: return UNKNOWN;
    }
}

static int is_prefix(uint8_t byte)
{
    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0x66:
    case 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3: return 1;
    default: return 0;
    }
}

/* ModRM and what it brings with it. Reads up to two bytes. */
static uint32_t operand(const uint8_t *at)
{
    uint32_t mod = at[0] >> 6, low = at[0] & 7;
    if (mod == 3) return 1;
    uint32_t length = low == 4 ? 2 : 1;
    if (mod == 1) return length + 1;
    if (mod == 2) return length + 4;
    return length + ((low == 4 ? at[1] & 7 : low) == 5 ? 4 : 0);
}

static uint32_t immediate(uint32_t form, int narrow, int rex_w)
{
    switch (form) {
    case BYTE: return 1;
    case WORD: return 2;
    case WIDE: return narrow && !rex_w ? 2 : 4;
    case WHOLE: return rex_w ? 8 : narrow ? 2 : 4;
    case NEAR: return 4;
    case ENTER: return 3;
    case ADDRESS: return 8;
    default: return 0;
    }
}

/* at: ST_INSTRUCTION_ROOM bytes can be read. */
struct st_instruction st_instruction(const uint8_t *at)
{
    struct st_instruction found = {0};
    uint32_t n = 0, map = 0, form;
    int narrow = 0, address32 = 0, rex_w = 0;
    for (; n < 14 && is_prefix(at[n]); n++) {
        narrow |= at[n] == 0x66;
        address32 |= at[n] == 0x67;
    }
    if (n == 14) return found;
    if (at[n] >= 0x40 && at[n] < 0x50) rex_w = at[n++] & REX_W;
    if (at[n] == 0xc5) { /* VEX */
        map = 1;
        n += 2;
    } else if (at[n] == 0xc4) {
        map = at[n + 1] & 31;
        n += 3;
        if (!map) return found;
    } else if (at[n] == 0x62) { /* EVEX */
        map = at[n + 1] & 7;
        n += 4;
        if (!map) return found;
    } else if (at[n] == 0x0f) {
        map = at[n + 1] == 0x38 ? 2 : at[n + 1] == 0x3a ? 3 : 1;
        n += map == 1 ? 1 : 2;
    }
    uint8_t op = at[n++];
    form = map ? form_in_map(map, op) : form_of(op);
    if (form >= UNKNOWN || (form == ADDRESS && address32)) return found;
    if (form == TEST) form = MODRM + (at[n] >> 3 & 7 ? NONE : op & 1 ? WIDE : BYTE);
    if (form == MODRM + NONE && (op == 0xf6 || op == 0xf7) && !map && (at[n] >> 3 & 7) == 1) return found;
    if (!map && op == 0xff) found.ends = (at[n] >> 3 & 7) == 4 || (at[n] >> 3 & 7) == 5;
    if (form >= MODRM) n += operand(at + n);
    n += immediate(form & 15, narrow, rex_w);
    if (n > 15) return (struct st_instruction){0};
    found.length = n;
    found.ends |= !map && (op == 0xc3 || op == 0xc2 || op == 0xe9 || op == 0xeb || op == 0xf4);
    found.ends |= map == 1 && op == 0x0b;
    if (!map && ((op >= 0x70 && op < 0x80) || (op >= 0xe0 && op < 0xe4) || op == 0xeb)) {
        found.leads = 1;
        found.distance = (int8_t)at[n - 1];
    } else if (form == NEAR) {
        found.leads = 1;
        found.distance = (int32_t)(at[n - 4] | (uint32_t)at[n - 3] << 8 | (uint32_t)at[n - 2] << 16 | (uint32_t)at[n - 1] << 24);
    }
    return found;
}

/* Length of an instruction that assemblers pad with; 0: it is none. left: bytes that belong to the padding at most. */
uint32_t st_padding(const uint8_t *at, uint32_t left)
{
    uint32_t n = 0;
    if (left && at[0] == 0xcc) return 1;
    while (n < left && (at[n] == 0x66 || at[n] == 0x2e)) n++;
    int nop = n < left && at[n] == 0x90;
    if (!nop && (left - n < 3 || at[n] != 0x0f || at[n + 1] != 0x1f)) return 0;
    uint32_t length = nop ? n + 1 : st_instruction(at).length;
    return length <= left ? length : 0;
}
