/* BPF programs: what seccomp and sockets filter with. */
#include <string.h>

#include "text.h"

static void instruction(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index);

static void code_words(struct st_decoder *d, uint32_t code)
{
    static const char *const classes[] = {"BPF_LD", "BPF_LDX", "BPF_ST", "BPF_STX", "BPF_ALU", "BPF_JMP", "BPF_RET", "BPF_MISC"};
    static const char *const sizes[] = {"BPF_W", "BPF_H", "BPF_B", "0x18 /* BPF_??? */"};
    static const char *const modes[] = {"BPF_IMM", "BPF_ABS", "BPF_IND", "BPF_MEM", "BPF_LEN", "BPF_MSH"};
    static const char *const alu[] = {"BPF_ADD", "BPF_SUB", "BPF_MUL", "BPF_DIV", "BPF_OR", "BPF_AND",
                                      "BPF_LSH", "BPF_RSH", "BPF_NEG", "BPF_MOD", "BPF_XOR"};
    static const char *const jumps[] = {"BPF_JA", "BPF_JEQ", "BPF_JGT", "BPF_JGE", "BPF_JSET"};
    static const char *const values[] = {"BPF_K", "BPF_X", "BPF_A"};
    uint32_t class = code & 7, op = code >> 4 & 15, mode = code >> 5 & 7;
    st_puts(d->out, classes[class]);
    if (class < 2) {
        st_putf(d->out, "|%s|", sizes[code >> 3 & 3]);
        if (mode < 6)
            st_puts(d->out, modes[mode]);
        else
            st_putf(d->out, "%#x /* BPF_??? */", mode << 5);
    } else if (class < 4) {
        if (code & ~7u) st_putf(d->out, "|%#x /* BPF_??? */", code & ~7u);
    } else if (class == 6) {
        uint32_t value = code >> 3 & 3;
        if (value < 3)
            st_putf(d->out, "|%s", values[value]);
        else
            st_putf(d->out, "|%#x /* BPF_??? */", value << 3);
        if (code & ~0x1fu) st_putf(d->out, "|%#x /* BPF_??? */", code & ~0x1fu);
    } else if (class == 7) {
        uint32_t misc = code & 0xf8;
        if (misc == 0 || misc == 0x80)
            st_puts(d->out, misc ? "|BPF_TXA" : "|BPF_TAX");
        else
            st_putf(d->out, "|%#x /* BPF_??? */", misc);
    } else {
        st_puts(d->out, code & 8 ? "|BPF_X|" : "|BPF_K|");
        const char *name = class == 4 ? (op < 11 ? alu[op] : NULL) : (op < 5 ? jumps[op] : NULL);
        if (name)
            st_puts(d->out, name);
        else
            st_putf(d->out, "%#x /* BPF_??? */", op << 4);
    }
}

static void returned(struct st_decoder *d, uint32_t k)
{
    const char *name = st_lookup(&st_sets[ST_SET_SECCOMP_ACTION], k & 0xffff0000);
    if (name)
        st_puts(d->out, name);
    else
        st_putf(d->out, "%#x /* SECCOMP_RET_??? */", k & 0xffff0000);
    if (k & 0xffff) st_putf(d->out, "|%#x", k & 0xffff);
}

static void instruction(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    uint32_t code = st_load16(at), k = st_load32(at + 4);
    int seccomp = d->row && (d->sysno == 317 || d->sysno == 157);
    (void)address;
    (void)index;
    int jump = at[2] || at[3];
    st_puts(d->out, jump ? "BPF_JUMP(" : "BPF_STMT(");
    code_words(d, code);
    st_comma(d);
    if (seccomp && code == 6)
        returned(d, k);
    else
        st_put_hex(d->out, k);
    if (jump) st_putf(d->out, ", %#x, %#x", at[2], at[3]);
    st_putc(d->out, ')');
}

void st_filter(struct st_decoder *d, uint64_t address)
{
    const uint8_t *at = address && !d->pointers ? st_see(d, address, 16) : NULL;
    if (!at) {
        st_address(d, address);
        return;
    }
    uint16_t count = st_load16(at);
    uint64_t filter = st_load64(at + 8);
    st_putf(d->out, "{len=%u, filter=", count);
    if (d->abbrev || count > 4096) {
        st_address(d, filter);
    } else {
        struct st_decoder all = *d;
        st_array(&all, filter, count, 8, instruction);
    }
    st_putc(d->out, '}');
}

int st_call_seccomp(struct st_decoder *d)
{
    uint32_t op = ST_ARG32(d, 0);
    if (d->exiting) return 0;
    st_next(d, 0);
    st_set(d, ST_SET_SECCOMP_OP, op);
    st_next(d, 1);
    if (op == 1)
        st_set(d, ST_SET_SECCOMP_FLAGS, ST_ARG32(d, 1));
    else
        st_put_hex(d->out, ST_ARG32(d, 1));
    st_next(d, 2);
    if (op == 1) {
        st_filter(d, d->args[2]);
    } else if (op == 2) {
        const uint8_t *at = d->args[2] ? st_see(d, d->args[2], 4) : NULL;
        if (at) {
            st_putc(d->out, '[');
            st_set(d, ST_SET_SECCOMP_ACTION, st_load32(at));
            st_putc(d->out, ']');
        } else {
            st_address(d, d->args[2]);
        }
    } else {
        st_address(d, d->args[2]);
    }
    return 0;
}
