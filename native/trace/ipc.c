/* System V shared memory, semaphores and messages. */
#include <string.h>

#include "text.h"

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
static const char *const semaphore_limits[] = {"semmap", "semmni", "semmns", "semmnu", "semmsl", "semopm",
                                               "semume", "semusz", "semvmx", "semaem", NULL};
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

static void control_command(struct st_decoder *d, unsigned i, unsigned set)
{
    uint32_t command = ST_ARG32(d, i);
    st_next(d, i);
    if (command & 0x100) { /* IPC_64: a libc's own bit */
        st_puts(d->out, "IPC_64|");
        command &= ~0x100u;
    }
    st_set(d, set, command);
}

/* The last argument begins; one that the exit shows has its name there. */
static void control_argument(struct st_decoder *d, unsigned i, int filled)
{
    if (filled)
        st_comma(d);
    else
        st_next(d, i);
}

int st_call_shmctl(struct st_decoder *d)
{
    uint32_t command = ST_ARG32(d, 1) & ~0x100u;
    int status = command == 2 || command == 13 || command == 15, info = command == 3 || command == 14;
    if (!d->exiting) {
        st_arguments(d, 0, 1);
        control_command(d, 1, ST_SET_SHMCTL_CMD);
        control_argument(d, 2, status || info);
        const uint8_t *at = command == 1 && d->args[2] ? st_see(d, d->args[2], 112) : NULL;
        if (at) {
            set_permissions(d, at, "shm");
            st_putc(d->out, '}');
        } else if (!status && !info) {
            st_address(d, d->args[2]);
        }
        return 0;
    }
    if (!status && !info) return 0;
    st_label(d, 2);
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
        st_arguments(d, 0, 1);
        control_command(d, 1, ST_SET_MSGCTL_CMD);
        control_argument(d, 2, status || info);
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
    st_label(d, 2);
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
        st_arguments(d, 0, 2);
        control_command(d, 2, ST_SET_SEMCTL_CMD);
        control_argument(d, 3, status || info);
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
    st_label(d, 3);
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
    st_arguments(d, 0, 1);
    st_next(d, 1);
    message(d, d->args[1], d->args[2]);
    st_arguments(d, 2, 4);
    return 0;
}

int st_call_msgrcv(struct st_decoder *d)
{
    if (!d->exiting) {
        st_arguments(d, 0, 1);
        st_comma(d);
        return 0;
    }
    st_label(d, 1);
    if (d->failed)
        st_address(d, d->args[1]);
    else
        message(d, d->args[1], (uint64_t)d->result);
    st_arguments(d, 2, 5);
    return 0;
}
