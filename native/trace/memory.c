/* Memory and shared memory's kin: mmap, mremap, mincore, NUMA policies, System V objects, futexes. */
#include <string.h>

#include "text.h"

static void huge_size(struct st_decoder *d, uint64_t flags, const char *prefix)
{
    uint32_t shift = flags >> 26 & 63;
    if (shift) st_putf(d->out, "|%u<<%sHUGE_SHIFT", shift, prefix);
}

void st_print_map_flags(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t flags = (uint32_t)value, hint = flags & 0x40000 /* MAP_HUGETLB */ ? flags & 0xfc000000 : 0;
    const struct st_set *kinds = &st_sets[ST_SET_MAP_TYPE], *bits = &st_sets[ST_SET_MAP_FLAGS];
    const char *kind = st_lookup(kinds, flags & 15);
    (void)type;
    if (d->options->names != ST_NAMES_ABBREV) st_put_hex(d->out, flags);
    if (d->options->names == ST_NAMES_RAW) return;
    if (d->options->names == ST_NAMES_VERBOSE) st_puts(d->out, " /* ");
    if (kind)
        st_puts(d->out, kind);
    else
        st_putf(d->out, flags & 15 ? "%#llx /* MAP_??? */" : "0 /* MAP_??? */", (unsigned long long)(flags & 15));
    flags &= ~(15ull | hint);
    if (flags) {
        st_putc(d->out, '|');
        if (st_bit_names(d->out, bits, &flags, "|") && flags) st_putc(d->out, '|');
        if (flags) st_put_hex(d->out, flags);
    }
    if (hint) huge_size(d, hint, "MAP_");
    if (d->options->names == ST_NAMES_VERBOSE) st_puts(d->out, " */");
}

int st_call_mremap(struct st_decoder *d)
{
    if (d->exiting) return 0;
    d->returns = ST_RETURNS_HEX;
    st_arguments(d, 0, 4);
    if (d->args[3] & 6) { /* MREMAP_FIXED, MREMAP_DONTUNMAP */
        st_comma(d);
        st_address(d, d->args[4]);
    }
    return 0;
}

void st_print_mincore(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t pages = (d->args[1] + 4095) / 4096, shown = pages;
    (void)type;
    if (shown > d->options->string_limit && d->abbrev) shown = d->options->string_limit;
    const uint8_t *at = value && !d->failed && pages ? st_see(d, value, shown) : NULL;
    if (!at) {
        st_address(d, value);
        return;
    }
    st_putc(d->out, '[');
    for (uint64_t i = 0; i < shown; i++) st_puts(d->out, i ? (at[i] & 1 ? ", 1" : ", 0") : at[i] & 1 ? "1" : "0");
    st_puts(d->out, shown < pages ? ", ...]" : "]");
}

void st_print_nodemask(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t bits = d->args[type->aux], words = (bits + 63) / 64, shown = words;
    if (shown > 16) shown = 16;
    const uint8_t *at = value && words && bits < 1 << 20 ? st_see(d, value, shown * 8) : NULL;
    if (!at) {
        st_address(d, value);
        return;
    }
    st_putc(d->out, '[');
    for (uint64_t i = 0; i < shown; i++) {
        if (i) st_comma(d);
        st_putf(d->out, "%#018llx", (unsigned long long)st_load64(at + i * 8));
    }
    st_puts(d->out, shown < words ? ", ...]" : "]");
}

void st_print_mpol(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t mode = (uint32_t)value, flags = mode & 0xe000;
    (void)type;
    st_set(d, ST_SET_MPOL, mode & ~flags);
    if (!flags) return;
    st_putc(d->out, '|');
    st_set(d, ST_SET_MPOL_MODE, flags);
}

int st_call_get_mempolicy(struct st_decoder *d)
{
    static const struct st_type mask = {.aux = 2, .when = ST_CAPTURE_EXIT};
    if (!d->exiting) return 0;
    const uint8_t *policy = d->args[0] && !d->failed ? st_see(d, d->args[0], 4) : NULL;
    if (policy) {
        st_putc(d->out, '[');
        if (d->args[4] & 1)
            st_putf(d->out, "%u", st_load32(policy));
        else
            st_print_mpol(d, st_load32(policy), &mask);
        st_putc(d->out, ']');
    } else {
        st_address(d, d->args[0]);
    }
    st_comma(d);
    if (d->failed)
        st_address(d, d->args[1]);
    else
        st_print_nodemask(d, d->args[1], &mask);
    st_arguments(d, 2, 5);
    return 0;
}

int st_call_move_pages(struct st_decoder *d)
{
    if (!d->exiting) {
        st_arguments(d, 0, 4);
        st_comma(d);
        return 0;
    }
    st_address(d, d->args[4]);
    st_comma(d);
    st_set(d, ST_SET_MBIND_FLAGS, ST_ARG32(d, 5));
    return 0;
}

/* ---- System V ----------------------------------------------------------------------------------------------------- */

void st_print_ipc_key(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    if (value & 0xffffffff)
        st_put_hex(d->out, (uint32_t)value);
    else if (d->options->names == ST_NAMES_ABBREV)
        st_puts(d->out, "IPC_PRIVATE");
    else
        st_puts(d->out, d->options->names == ST_NAMES_RAW ? "0" : "0 /* IPC_PRIVATE */");
}

static void get_flags(struct st_decoder *d, unsigned set, uint64_t flags, uint64_t hint)
{
    uint64_t bits = flags & ~0777ull & ~hint;
    if (bits) {
        st_set(d, set, bits);
        st_putc(d->out, '|');
    }
    if (hint) st_putf(d->out, "%llu<<SHM_HUGE_SHIFT|", (unsigned long long)hint >> 26);
    st_mode(d, flags & 0777);
}

void st_print_shmget_flags(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    get_flags(d, ST_SET_SHMGET_FLAGS, (uint32_t)value, value & 0xfc000000);
}

void st_print_ipcget_flags(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    get_flags(d, ST_SET_IPCGET_FLAGS, (uint32_t)value, 0);
}

void st_print_semop_flags(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint16_t flags;
    (void)type;
    memcpy(&flags, (const void *)(uintptr_t)value, 2);
    st_set(d, ST_SET_SEMOP_FLAGS, flags);
}

/* The common head: struct ipc64_perm, 48 bytes. */
static void permissions(struct st_decoder *d, const uint8_t *at, const char *label)
{
    st_putf(d->out, "{%s_perm={uid=%u, gid=%u, mode=", label, st_load32(at + 4), st_load32(at + 8));
    st_mode(d, st_load32(at + 20));
    st_puts(d->out, ", key=");
    st_put_unsigned(d->out, st_load32(at));
    st_putf(d->out, ", cuid=%u, cgid=%u}", st_load32(at + 12), st_load32(at + 16));
}

static void set_permissions(struct st_decoder *d, const uint8_t *at, const char *label)
{
    st_putf(d->out, "{%s_perm={uid=%u, gid=%u, mode=", label, st_load32(at + 4), st_load32(at + 8));
    st_mode(d, st_load32(at + 20));
    st_putc(d->out, '}');
}

static void number(struct st_decoder *d, const char *label, uint64_t value)
{
    st_puts(d->out, label);
    st_put_unsigned(d->out, value);
}

static const char *const message_limits[] = {"msgpool", "msgmap", "msgmax", "msgmnb", "msgmni", "msgssz", "msgtql", NULL};
static const char *const semaphore_limits[] = {"semmap", "semmni", "semmns", "semmnu", "semmsl",
                                               "semopm", "semume", "semusz", "semvmx", "semaem", NULL};
static const char *const shm_limits[] = {"shmmax", "shmmin", "shmmni", "shmseg", "shmall", NULL};
static const char *const shm_usage[] = {"used_ids", "shm_tot", "shm_rss", "shm_swp", "swap_attempts", "swap_successes", NULL};

/* IPC_INFO and its kin: numbers of `size` bytes in a row. 0: not readable. */
static int info_words(struct st_decoder *d, uint64_t address, const char *const *labels, unsigned size)
{
    unsigned count = 0;
    while (labels[count]) count++;
    const uint8_t *at = address ? st_see(d, address, count * size) : NULL;
    if (!at) return 0;
    for (unsigned i = 0; i < count; i++) {
        st_putf(d->out, "%s%s=", i ? ", " : "{", labels[i]);
        /* used_ids is an int in front of longs */
        st_put_unsigned(d->out, st_load(at + i * size, labels == shm_usage && !i ? 4 : size));
    }
    const uint8_t *segments = labels == message_limits ? st_see(d, address + 28, 2) : NULL;
    if (segments) st_putf(d->out, ", msgseg=%u", st_load16(segments));
    st_putc(d->out, '}');
    return 1;
}

static void shm_status(struct st_decoder *d, const uint8_t *at)
{
    permissions(d, at, "shm");
    number(d, ", shm_segsz=", st_load64(at + 48));
    number(d, ", shm_cpid=", st_load32(at + 80));
    number(d, ", shm_lpid=", st_load32(at + 84));
    number(d, ", shm_nattch=", st_load64(at + 88));
    number(d, ", shm_atime=", st_load64(at + 56));
    number(d, ", shm_dtime=", st_load64(at + 64));
    number(d, ", shm_ctime=", st_load64(at + 72));
    st_putc(d->out, '}');
}

static void control_command(struct st_decoder *d, unsigned set, uint32_t command)
{
    if (command & 0x100) { /* IPC_64: a libc's own bit */
        st_puts(d->out, "IPC_64|");
        command &= ~0x100u;
    }
    st_set(d, set, command);
}

int st_call_shmctl(struct st_decoder *d)
{
    uint32_t command = ST_ARG32(d, 1) & ~0x100u;
    int status = command == 2 || command == 13 || command == 15;
    if (!d->exiting) {
        st_put_signed(d->out, (int32_t)d->args[0]);
        st_comma(d);
        control_command(d, ST_SET_SHMCTL_CMD, ST_ARG32(d, 1));
        st_comma(d);
        const uint8_t *at = command == 1 && d->args[2] ? st_see(d, d->args[2], 112) : NULL;
        if (at) {
            set_permissions(d, at, "shm");
            st_putc(d->out, '}');
        } else if (!status && command != 3 && command != 14) {
            st_address(d, d->args[2]);
        }
        return 0;
    }
    if (!status && command != 3 && command != 14) return 0;
    const uint8_t *at = d->failed || !status || !d->args[2] ? NULL : st_see(d, d->args[2], 112);
    if (at)
        shm_status(d, at);
    else if (d->failed || status || !info_words(d, d->args[2], command == 3 ? shm_limits : shm_usage, 8))
        st_address(d, d->args[2]);
    return 0;
}

static void msg_status(struct st_decoder *d, const uint8_t *at)
{
    permissions(d, at, "msg");
    number(d, ", msg_stime=", st_load64(at + 48));
    number(d, ", msg_rtime=", st_load64(at + 56));
    number(d, ", msg_ctime=", st_load64(at + 64));
    number(d, ", msg_qnum=", st_load64(at + 80));
    number(d, ", msg_qbytes=", st_load64(at + 88));
    number(d, ", msg_lspid=", st_load32(at + 96));
    number(d, ", msg_lrpid=", st_load32(at + 100));
    st_putc(d->out, '}');
}

int st_call_msgctl(struct st_decoder *d)
{
    uint32_t command = ST_ARG32(d, 1) & ~0x100u;
    int status = command == 2 || command == 11 || command == 13, info = command == 3 || command == 12;
    if (!d->exiting) {
        st_put_signed(d->out, (int32_t)d->args[0]);
        st_comma(d);
        control_command(d, ST_SET_MSGCTL_CMD, ST_ARG32(d, 1));
        st_comma(d);
        const uint8_t *at = command == 1 && d->args[2] ? st_see(d, d->args[2], 120) : NULL;
        if (at) {
            set_permissions(d, at, "msg");
            number(d, ", msg_qbytes=", st_load64(at + 88));
            st_putc(d->out, '}');
        } else if (!status && !info) {
            st_address(d, d->args[2]);
        }
        return 0;
    }
    if (!status && !info) return 0;
    const uint8_t *at = d->failed || !status || !d->args[2] ? NULL : st_see(d, d->args[2], 120);
    if (at)
        msg_status(d, at);
    else if (d->failed || status || !info_words(d, d->args[2], message_limits, 4))
        st_address(d, d->args[2]);
    return 0;
}

int st_call_semctl(struct st_decoder *d)
{
    uint32_t command = ST_ARG32(d, 2) & ~0x100u;
    int status = command == 2 || command == 18 || command == 20, info = command == 3 || command == 19 || command == 13;
    if (!d->exiting) {
        st_putf(d->out, "%d, %d, ", (int32_t)d->args[0], (int32_t)d->args[1]);
        control_command(d, ST_SET_SEMCTL_CMD, ST_ARG32(d, 2));
        st_comma(d);
        const uint8_t *at = command == 1 && d->args[3] ? st_see(d, d->args[3], 104) : NULL;
        if (at) {
            set_permissions(d, at, "sem");
            st_putc(d->out, '}');
        } else if (!status && !info) {
            if (command == 16)
                st_put_signed(d->out, (int32_t)d->args[3]);
            else
                st_address(d, d->args[3]);
        }
        return 0;
    }
    if (!status && !info) return 0;
    const uint8_t *at = d->failed || !status || !d->args[3] ? NULL : st_see(d, d->args[3], 104);
    if (!at) {
        if (d->failed || status || command == 13 || !info_words(d, d->args[3], semaphore_limits, 4)) st_address(d, d->args[3]);
        return 0;
    }
    permissions(d, at, "sem");
    number(d, ", sem_otime=", st_load64(at + 48));
    number(d, ", sem_ctime=", st_load64(at + 64));
    number(d, ", sem_nsems=", st_load64(at + 80));
    st_putc(d->out, '}');
    return 0;
}

static void message(struct st_decoder *d, uint64_t address, uint64_t size)
{
    uint64_t shown = size < d->options->string_limit ? size : d->options->string_limit;
    const uint8_t *kind = address ? st_see(d, address, 8) : NULL;
    const uint8_t *data = kind ? (shown ? st_see(d, address + 8, shown) : kind) : NULL;
    if (!data) {
        st_address(d, address);
        return;
    }
    st_puts(d->out, "{mtype=");
    st_put_signed(d->out, (int64_t)st_load64(kind));
    st_puts(d->out, ", mtext=");
    st_quoted(d, data, shown, ST_QUOTE_WHOLE);
    st_puts(d->out, shown < size ? "...}" : "}");
}

int st_call_msgsnd(struct st_decoder *d)
{
    if (d->exiting) return 0;
    st_put_signed(d->out, (int32_t)d->args[0]);
    st_comma(d);
    message(d, d->args[1], d->args[2]);
    st_comma(d);
    st_put_unsigned(d->out, d->args[2]);
    st_comma(d);
    st_set(d, ST_SET_MSG_FLAGS, ST_ARG32(d, 3));
    return 0;
}

int st_call_msgrcv(struct st_decoder *d)
{
    if (!d->exiting) {
        st_putf(d->out, "%d, ", (int32_t)d->args[0]);
        return 0;
    }
    if (d->failed)
        st_address(d, d->args[1]);
    else
        message(d, d->args[1], (uint64_t)d->result);
    st_comma(d);
    st_put_unsigned(d->out, d->args[2]);
    st_comma(d);
    st_put_signed(d->out, (int64_t)d->args[3]);
    st_comma(d);
    st_set(d, ST_SET_MSG_FLAGS, ST_ARG32(d, 4));
    return 0;
}

/* ---- futexes ---------------------------------------------------------------------------------------------------------- */

#define ST_FUTEX_PRIVATE 128u
#define ST_FUTEX_REALTIME 256u

static void futex_operation(struct st_decoder *d, uint32_t op)
{
    uint32_t command = op & 127;
    const char *name = op & ~511u ? NULL : st_lookup(&st_sets[ST_SET_FUTEX_OP], command);
    if (d->options->names != ST_NAMES_ABBREV) st_put_hex(d->out, op);
    if (d->options->names == ST_NAMES_RAW) return;
    if (d->options->names == ST_NAMES_VERBOSE) st_puts(d->out, " /* ");
    if (name) {
        st_puts(d->out, name);
        if (op & ST_FUTEX_PRIVATE) st_puts(d->out, "_PRIVATE");
        if (op & ST_FUTEX_REALTIME) st_puts(d->out, "|FUTEX_CLOCK_REALTIME");
    } else {
        st_put_hex(d->out, op);
        st_puts(d->out, " /* FUTEX_??? */");
    }
    if (d->options->names == ST_NAMES_VERBOSE) st_puts(d->out, " */");
}

static void wake_operand(struct st_decoder *d, uint32_t value)
{
    st_put_hex(d->out, value & 0xfff);
}

static void wake_operation(struct st_decoder *d, uint32_t value)
{
    uint32_t op = value >> 28;
    st_putc(d->out, '{');
    if (op & 8) st_puts(d->out, "FUTEX_OP_OPARG_SHIFT<<28|");
    st_set(d, ST_SET_FUTEX_WAKE_OP, op & 7);
    st_puts(d->out, "<<28|");
    wake_operand(d, value >> 12);
    st_puts(d->out, "<<12|");
    st_set(d, ST_SET_FUTEX_WAKE_CMP, value >> 24 & 15);
    st_puts(d->out, "<<24|");
    wake_operand(d, value);
    st_putc(d->out, '}');
}

static void futex_mask(struct st_decoder *d, uint32_t mask)
{
    if (mask == 0xffffffff && d->options->names == ST_NAMES_ABBREV)
        st_puts(d->out, "FUTEX_BITSET_MATCH_ANY");
    else
        st_put_hex(d->out, mask);
}

int st_call_futex(struct st_decoder *d)
{
    uint32_t op = ST_ARG32(d, 1), value = ST_ARG32(d, 2), value2 = ST_ARG32(d, 3), value3 = ST_ARG32(d, 5);
    if (d->exiting) {
        if (d->failed) return 0;
        if ((op & 127) == 0 || (op & 127) == 9) return 0;
        return 0;
    }
    st_address(d, d->args[0]);
    st_comma(d);
    futex_operation(d, op);
    switch (op & 127) {
    case 0: /* WAIT */
        st_comma(d);
        st_put_unsigned(d->out, value);
        st_comma(d);
        st_timespec(d, d->args[3]);
        break;
    case 1:
        st_comma(d);
        st_put_unsigned(d->out, value);
        break;
    case 6: /* LOCK_PI */
    case 13:
        st_comma(d);
        st_timespec(d, d->args[3]);
        break;
    case 7:
    case 8: break;
    case 9: /* WAIT_BITSET */
        st_comma(d);
        st_put_unsigned(d->out, value);
        st_comma(d);
        st_timespec(d, d->args[3]);
        st_comma(d);
        futex_mask(d, value3);
        break;
    case 10:
        st_comma(d);
        st_put_unsigned(d->out, value);
        st_comma(d);
        futex_mask(d, value3);
        break;
    case 11:
        st_comma(d);
        st_put_unsigned(d->out, value);
        st_comma(d);
        st_timespec(d, d->args[3]);
        st_comma(d);
        st_address(d, d->args[4]);
        break;
    case 3: /* REQUEUE */
        st_putf(d->out, ", %u, %u, ", value, value2);
        st_address(d, d->args[4]);
        break;
    case 4:
    case 12:
        st_putf(d->out, ", %u, %u, ", value, value2);
        st_address(d, d->args[4]);
        st_putf(d->out, ", %u", value3);
        break;
    case 5:
        st_putf(d->out, ", %u, %u, ", value, value2);
        st_address(d, d->args[4]);
        st_comma(d);
        wake_operation(d, value3);
        break;
    default:
        st_comma(d);
        st_put_unsigned(d->out, value);
        st_comma(d);
        st_address(d, d->args[3]);
        st_comma(d);
        st_address(d, d->args[4]);
        st_comma(d);
        st_put_hex(d->out, value3);
    }
    return 0;
}

static void waiter(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    (void)address;
    (void)index;
    st_puts(d->out, "{val=");
    st_put_hex(d->out, st_load64(at));
    st_puts(d->out, ", uaddr=");
    st_address(d, st_load64(at + 8));
    st_puts(d->out, ", flags=");
    static const char *const sizes[] = {"FUTEX2_SIZE_U8", "FUTEX2_SIZE_U16", "FUTEX2_SIZE_U32", "FUTEX2_SIZE_U64"};
    uint32_t flags = st_load32(at + 16);
    st_puts(d->out, sizes[flags & 3]);
    if (flags & ~3u) {
        st_putc(d->out, '|');
        st_set(d, ST_SET_FUTEX2_FLAGS, flags & ~3u);
    }
    if (st_load32(at + 20)) st_putf(d->out, ", __reserved=%#x", st_load32(at + 20));
    st_putc(d->out, '}');
}

void st_print_futex_waitv(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    st_array(d, value, type->aux == 4 ? 2 : ST_ARG32(d, type->aux), 24, waiter);
}
