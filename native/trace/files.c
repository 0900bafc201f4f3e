/* Files: what is opened, descriptors that a call fills in, handles, Landlock. */
#include <string.h>

#include "text.h"

void st_print_open_flags(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    static const char *const access[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};
    uint64_t flags = (uint32_t)value & ~3ull;
    (void)type;
    if (d->options->names != ST_NAMES_ABBREV) st_put_hex(d->out, (uint32_t)value);
    if (d->options->names == ST_NAMES_RAW) return;
    if (d->options->names == ST_NAMES_VERBOSE) st_puts(d->out, " /* ");
    st_puts(d->out, access[value & 3]);
    if (flags) {
        st_putc(d->out, '|');
        if (st_bit_names(d->out, &st_sets[ST_SET_OPEN_FLAGS], &flags, "|") && flags) st_putc(d->out, '|');
        if (flags) st_put_hex(d->out, flags);
    }
    if (d->options->names == ST_NAMES_VERBOSE) st_puts(d->out, " */");
}

void st_print_fsid(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const uint8_t *at = (const uint8_t *)(uintptr_t)value;
    (void)type;
    st_puts(d->out, "{val=[");
    st_put_hex(d->out, st_load32(at));
    st_comma(d);
    st_put_hex(d->out, st_load32(at + 4));
    st_puts(d->out, "]}");
}

void st_print_dev32(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    st_device(d, (uint32_t)value);
}

static int node(struct st_decoder *d, unsigned first)
{
    uint32_t mode = (uint16_t)d->args[first];
    if (d->exiting) return 0;
    st_arguments(d, 0, first);
    st_next(d, first);
    st_symbolic_mode(d, mode);
    if ((mode & 0170000) == 0020000 || (mode & 0170000) == 0060000) {
        st_next(d, first + 1);
        st_device(d, ST_ARG32(d, first + 1));
    }
    return 0;
}

int st_call_mknod(struct st_decoder *d)
{
    return node(d, 1);
}

int st_call_mknodat(struct st_decoder *d)
{
    return node(d, 2);
}

void st_print_fdpair(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const uint8_t *at = value && !d->failed ? st_see(d, value, 8) : NULL;
    (void)type;
    if (!at) {
        st_address(d, value);
        return;
    }
    st_putc(d->out, '[');
    st_fd(d, (int32_t)st_load32(at));
    st_comma(d);
    st_fd(d, (int32_t)st_load32(at + 4));
    st_putc(d->out, ']');
}

void st_print_umask(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    st_mode(d, (uint16_t)value);
}

void st_print_cwd(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    if (d->failed)
        st_address(d, value);
    else
        st_path(d, value);
}

/* A position that is moved: [0 => 100]. */
void st_print_moved_offset(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    struct st_decoder before = *d;
    before.exiting = 0;
    const uint8_t *was = value ? st_see(&before, value, 8) : NULL, *is = value ? st_see(d, value, 8) : NULL;
    (void)type;
    if (!was || !is) {
        st_address(d, value);
        return;
    }
    st_putc(d->out, '[');
    st_put_signed(d->out, (int64_t)st_load64(was));
    if (!d->failed && st_load64(was) != st_load64(is)) {
        st_puts(d->out, " => ");
        st_put_signed(d->out, (int64_t)st_load64(is));
    }
    st_putc(d->out, ']');
}

/* A position that is read and moved: [0] => [100], or just [0] on entry. */
void st_print_offset(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const uint8_t *at = value ? st_see(d, value, 8) : NULL;
    (void)type;
    if (!at) {
        st_address(d, value);
        return;
    }
    st_putc(d->out, '[');
    st_put_signed(d->out, (int64_t)st_load64(at));
    st_putc(d->out, ']');
}

/* ---- directories ---- */

static void entry(struct st_decoder *d, const uint8_t *at, uint32_t length, int wide)
{
    uint32_t name = wide ? 19 : 18;
    st_puts(d->out, "{d_ino=");
    st_put_unsigned(d->out, st_load64(at));
    st_puts(d->out, ", d_off=");
    st_put_signed(d->out, (int64_t)st_load64(at + 8));
    st_putf(d->out, ", d_reclen=%u", length);
    if (wide) {
        st_puts(d->out, ", d_type=");
        st_set(d, ST_SET_D_TYPE, at[18]);
    }
    st_puts(d->out, ", d_name=");
    st_quoted(d, at + name, length - name - !wide, ST_QUOTE_TEXT | ST_QUOTE_WHOLE);
    if (!wide) {
        st_puts(d->out, ", d_type=");
        st_set(d, ST_SET_D_TYPE, at[length - 1]);
    }
    st_putc(d->out, '}');
}

static void directory(struct st_decoder *d, uint64_t value, int wide)
{
    uint64_t size = (uint64_t)d->result, at = 0;
    const uint8_t *data = value && !d->failed && size ? st_see_some(d, value, &size) : NULL;
    unsigned count = 0;
    if (d->failed || (!data && d->result)) {
        st_address(d, value);
        return;
    }
    if (d->abbrev) {
        st_address(d, value);
    } else {
        st_putc(d->out, '[');
    }
    while (data && at + 24 <= size) {
        uint32_t length = st_load16(data + at + 16);
        if (length < 24 || length > size - at) break;
        if (!d->abbrev) {
            if (count) st_comma(d);
            entry(d, data + at, length, wide);
        }
        count++;
        at += length;
    }
    if (d->abbrev)
        st_putf(d->out, " /* %u entries */", count);
    else
        st_putc(d->out, ']');
}

void st_print_dirents(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    directory(d, value, 0);
}

void st_print_dirents64(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    directory(d, value, 1);
}

void st_print_xattr(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    if (d->failed || !d->args[type->aux])
        st_address(d, value);
    else
        st_bytes(d, value, (uint64_t)d->result);
}

void st_print_xattr_value(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    if (d->args[type->aux] > 65536)
        st_address(d, value);
    else
        st_bytes(d, value, d->args[type->aux]);
}

static void file_handle(struct st_decoder *d, const uint8_t *handle, uint32_t size)
{
    st_putc(d->out, '"');
    if (handle) st_quote_bytes(d->options, d->out, handle, size, ST_HEX_ALL);
    st_putc(d->out, '"');
}

void st_print_handle(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const uint8_t *at = value ? st_see(d, value, 8) : NULL;
    (void)type;
    if (!at) {
        st_address(d, value);
        return;
    }
    uint32_t bytes = st_load32(at);
    st_putf(d->out, "{handle_bytes=%u, handle_type=%d", bytes, (int32_t)st_load32(at + 4));
    if (bytes <= 128) {
        const uint8_t *handle = st_see(d, value + 8, bytes);
        st_puts(d->out, ", f_handle=");
        file_handle(d, handle, bytes);
    }
    st_putc(d->out, '}');
}

int st_call_name_to_handle_at(struct st_decoder *d)
{
    const uint8_t *before = d->args[2] ? st_see(d, d->args[2], 8) : NULL;
    if (!d->exiting) {
        st_arguments(d, 0, 2);
        st_next(d, 2);
        if (before)
            st_putf(d->out, "{handle_bytes=%u", st_load32(before));
        else
            st_address(d, d->args[2]);
        return 0;
    }
    const uint8_t *mount = !d->failed && d->args[3] ? st_see(d, d->args[3], 4) : NULL;
    if (before) {
        uint32_t bytes = st_load32(before);
        if (d->result == -75) st_putf(d->out, " => %u", bytes);
        if (!d->failed) {
            st_putf(d->out, ", handle_type=%d", (int32_t)st_load32(before + 4));
            const uint8_t *handle = bytes <= 128 ? st_see(d, d->args[2] + 8, bytes) : NULL;
            st_puts(d->out, ", f_handle=");
            file_handle(d, handle, bytes);
        }
        st_putc(d->out, '}');
    }
    st_next(d, 3);
    if (mount)
        st_putf(d->out, "[%d]", (int32_t)st_load32(mount));
    else
        st_address(d, d->args[3]);
    st_next(d, 4);
    st_set(d, ST_SET_HANDLE_FLAGS, ST_ARG32(d, 4));
    return 0;
}

void st_print_open_how(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t size = d->args[type->aux];
    const uint8_t *at = value && size >= 24 ? st_see(d, value, 24) : NULL;
    if (!at) {
        st_address(d, value);
        return;
    }
    st_puts(d->out, "{flags=");
    st_print_open_flags(d, st_load64(at), type);
    if (st_load64(at + 8) || (st_load64(at) & 0100)) {
        st_puts(d->out, ", mode=");
        if (st_load64(at + 8) < 01000)
            st_mode(d, (uint32_t)st_load64(at + 8));
        else
            st_put_octal(d->out, st_load64(at + 8));
    }
    st_puts(d->out, ", resolve=");
    st_set(d, ST_SET_RESOLVE_FLAGS, st_load64(at + 16));
    st_rest(d, value, 24, size);
    st_putc(d->out, '}');
}

void st_print_mount_attr(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t size = d->args[type->aux];
    const uint8_t *at = value && size >= 32 ? st_see(d, value, 32) : NULL;
    if (!at) {
        st_address(d, value);
        return;
    }
    st_puts(d->out, "{");
    st_fields(d, &st_structs[ST_STRUCT_MOUNT_ATTR], at);
    st_rest(d, value, 32, size);
    st_putc(d->out, '}');
}

void st_print_landlock_attr(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t size = d->args[type->aux];
    const uint8_t *at = value && size >= 8 ? st_see(d, value, size < 48 ? size : 48) : NULL;
    if (!at) {
        st_address(d, value);
        return;
    }
    st_puts(d->out, "{handled_access_fs=");
    st_set(d, ST_SET_LANDLOCK_FS, st_load64(at));
    if (size >= 16) {
        st_puts(d->out, ", handled_access_net=");
        st_set(d, ST_SET_LANDLOCK_NET, st_load64(at + 8));
    }
    if (size >= 24) {
        st_puts(d->out, ", scoped=");
        st_set(d, ST_SET_LANDLOCK_SCOPE, st_load64(at + 16));
    }
    if (size >= 32) {
        st_puts(d->out, ", quiet_access_fs=");
        st_set(d, ST_SET_LANDLOCK_FS, st_load64(at + 24));
    }
    if (size >= 40) {
        st_puts(d->out, ", quiet_access_net=");
        st_set(d, ST_SET_LANDLOCK_NET, st_load64(at + 32));
    }
    if (size >= 48) {
        st_puts(d->out, ", quiet_scoped=");
        st_set(d, ST_SET_LANDLOCK_SCOPE, st_load64(at + 40));
    }
    if (size > 48) st_puts(d->out, ", ...");
    st_putc(d->out, '}');
}

int st_call_landlock_add_rule(struct st_decoder *d)
{
    uint32_t kind = ST_ARG32(d, 1);
    if (d->exiting) return 0;
    st_arguments(d, 0, 2);
    st_next(d, 2);
    if (kind == 1)
        st_point(d, ST_STRUCT_LANDLOCK_PATH, d->args[2]);
    else if (kind == 2)
        st_point(d, ST_STRUCT_LANDLOCK_PORT, d->args[2]);
    else
        st_address(d, d->args[2]);
    st_next(d, 3);
    st_set(d, ST_SET_LANDLOCK_ADD_RULE, ST_ARG32(d, 3));
    return 0;
}
