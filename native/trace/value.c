/* Values by their type: what most calls' arguments and most structures' fields need. */
#include <string.h>

#include "text.h"

#define ST_DEEPEST 8 /* structures in structures: a damaged frame must not lead further */

void st_comma(struct st_decoder *d)
{
    st_puts(d->out, ", ");
}

/* What the table has no name for is called by its place. */
void st_label(struct st_decoder *d, unsigned i)
{
    if (!d->options->arg_names) return;
    const char *name = d->row && !d->raw ? d->row->arguments : "";
    for (unsigned spaces = 0; spaces < i && *name;) spaces += *name++ == ' ';
    if (*name)
        st_put(d->out, name, strcspn(name, " "));
    else
        st_putf(d->out, "arg%u", i + 1);
    st_putc(d->out, '=');
}

void st_next(struct st_decoder *d, unsigned i)
{
    if (i) st_comma(d);
    st_label(d, i);
}

void st_address(struct st_decoder *d, uint64_t address)
{
    if (address)
        st_put_hex(d->out, address);
    else
        st_puts(d->out, "NULL");
}

void st_mode(struct st_decoder *d, uint32_t mode)
{
    if (mode < 0100)
        st_put_padded(d->out, (mode >> 3) * 10 + (mode & 7), 3);
    else
        st_put_octal(d->out, mode);
}

void st_symbolic_mode(struct st_decoder *d, uint32_t mode)
{
    static const char *const kinds[16] = {
        [1] = "S_IFIFO", [2] = "S_IFCHR", [4] = "S_IFDIR", [6] = "S_IFBLK", [8] = "S_IFREG", [10] = "S_IFLNK", [12] = "S_IFSOCK"};
    const char *kind = mode >> 16 ? NULL : kinds[mode >> 12 & 15];
    if (!kind || d->options->names != ST_NAMES_ABBREV) {
        st_mode(d, mode);
        if (!kind || d->options->names == ST_NAMES_RAW) return;
        st_puts(d->out, " /* ");
    }
    st_puts(d->out, kind);
    st_puts(d->out, mode & 04000 ? "|S_ISUID" : "");
    st_puts(d->out, mode & 02000 ? "|S_ISGID" : "");
    st_puts(d->out, mode & 01000 ? "|S_ISVTX" : "");
    st_putc(d->out, '|');
    st_mode(d, mode & 0777);
    if (d->options->names != ST_NAMES_ABBREV) st_puts(d->out, " */");
}

void st_id(struct st_decoder *d, uint32_t id)
{
    if (id == 0xffffffff)
        st_puts(d->out, "-1");
    else
        st_put_unsigned(d->out, id);
}

void st_device(struct st_decoder *d, uint64_t device)
{
    uint64_t major = (device >> 8 & 0xfff) | (device >> 32 & ~0xfffull), minor = (device & 0xff) | (device >> 12 & ~0xffull);
    if (d->options->names != ST_NAMES_ABBREV) {
        st_put_hex(d->out, device);
        if (d->options->names == ST_NAMES_RAW) return;
        st_puts(d->out, " /* ");
    }
    st_puts(d->out, "makedev(");
    st_put_hex(d->out, major & 0xffffffff);
    st_comma(d);
    st_put_hex(d->out, minor & 0xffffffff);
    st_puts(d->out, d->options->names == ST_NAMES_ABBREV ? ")" : ") */");
}

void st_pid(struct st_decoder *d, int32_t pid)
{
    char name[64];
    uint32_t n;
    st_put_signed(d->out, pid);
    if (!d->options->comm || pid <= 0) return;
    const uint8_t *seen = st_see_name(d, pid == d->tid ? 0 : pid, &n);
    if (seen && n <= sizeof name)
        memcpy(name, seen, n);
    else
        n = d->options->comm_of ? d->options->comm_of(pid, name, sizeof name) : 0;
    if (!n || n > sizeof name) return;
    st_putc(d->out, '<');
    st_quote_name(d->options, d->out, (const uint8_t *)name, n);
    st_putc(d->out, '>');
}

/* What is printed instead of element i, if anything: it could not be read, or -s allows no more. */
int st_element_missing(struct st_decoder *d, const uint8_t *at, uint64_t address, uint64_t i)
{
    if (i) st_comma(d);
    if (!at) {
        st_puts(d->out, "... /* ");
        st_put_hex(d->out, address);
        st_puts(d->out, " */");
    } else if (d->abbrev && i >= d->options->string_limit) {
        st_puts(d->out, "...");
        return 1;
    }
    return !at;
}

void st_array(struct st_decoder *d, uint64_t address, uint64_t count, uint32_t size, st_element print)
{
    if (!address || d->pointers || (count && !st_see(d, address, size))) {
        st_address(d, address);
        return;
    }
    if (d->depth >= ST_DEEPEST) return;
    d->depth++;
    st_putc(d->out, '[');
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *at = st_see(d, address + i * size, size);
        if (st_element_missing(d, at, address + i * size, i)) break;
        print(d, at, address + i * size, (uint32_t)i);
    }
    st_putc(d->out, ']');
    d->depth--;
}

static void field(struct st_decoder *d, const struct st_field *f, const uint8_t *at)
{
    if (f->name[0]) {
        st_puts(d->out, f->name);
        st_putc(d->out, '=');
    }
    if (f->count == 1 || f->type.kind == ST_V_CHARS || f->type.kind == ST_V_BLOB) {
        if (f->type.kind == ST_V_CHARS)
            st_quoted(d, at, f->count, ST_QUOTE_TEXT | (f->type.aux ? ST_QUOTE_WHOLE : 0));
        else if (f->type.kind == ST_V_BLOB)
            st_quoted(d, at, f->count, ST_QUOTE_BYTES);
        else if (f->type.kind == ST_V_INLINE)
            st_structure(d, &st_structs[f->type.ref], 0, at);
        else if (f->type.kind == ST_V_CUSTOM && !f->type.size)
            st_printers[f->type.ref](d, (uint64_t)(uintptr_t)at, &f->type);
        else
            st_value(d, &f->type, st_load(at, f->type.size));
        return;
    }
    st_putc(d->out, '[');
    for (unsigned i = 0; i < f->count; i++) {
        if (i) st_comma(d);
        if (f->type.kind == ST_V_INLINE)
            st_structure(d, &st_structs[f->type.ref], 0, at + i * st_structs[f->type.ref].size);
        else
            st_value(d, &f->type, st_load(at + i * (f->type.size & 15), f->type.size));
    }
    st_putc(d->out, ']');
}

void st_fields(struct st_decoder *d, const struct st_struct *s, const uint8_t *at)
{
    int any = 0;
    for (unsigned i = 0; i < s->count; i++) {
        if (s->fields[i].verbose && d->abbrev) continue;
        if (any++) st_comma(d);
        field(d, &s->fields[i], at + s->fields[i].offset);
    }
    if (s->cut && d->abbrev) st_puts(d->out, any ? ", ..." : "...");
}

void st_structure(struct st_decoder *d, const struct st_struct *s, uint64_t address, const uint8_t *at)
{
    (void)address;
    if (d->depth >= ST_DEEPEST) return;
    d->depth++;
    st_putc(d->out, '{');
    st_fields(d, s, at);
    st_putc(d->out, '}');
    d->depth--;
}

void st_rest(struct st_decoder *d, uint64_t address, uint64_t known, uint64_t size)
{
    if (size <= known) return;
    const uint8_t *at = size <= ST_CAPTURE_MOST ? st_see(d, address + known, size - known) : NULL;
    if (!at) {
        st_puts(d->out, ", ???");
        return;
    }
    uint64_t i = 0;
    while (i < size - known && !at[i]) i++;
    if (i == size - known) return;
    st_putf(d->out, ", /* bytes %llu..%llu */ \"", (unsigned long long)known, (unsigned long long)size - 1);
    st_quote_bytes(d->options, d->out, at, size - known, ST_HEX_ALL);
    st_putc(d->out, '"');
}

void st_point(struct st_decoder *d, unsigned structure, uint64_t address)
{
    const struct st_struct *s = &st_structs[structure];
    const uint8_t *at = address && !d->pointers ? st_see(d, address, s->size) : NULL;
    if (at)
        st_structure(d, s, address, at);
    else
        st_address(d, address);
}

/* An argument's register holds more than the call looks at. */
static uint64_t narrowed(uint64_t value, uint8_t size)
{
    uint8_t bytes[8];
    memcpy(bytes, &value, 8);
    return st_load(bytes, size ? size : 8);
}

static uint64_t count_of(const struct st_decoder *d, const struct st_type *type)
{
    unsigned i = type->aux % 6u;
    if (type->aux == ST_AUX_RESULT) return (uint64_t)d->result;
    return narrowed(d->args[i], i < d->row->count ? d->row->types[i].size & 15 : 8);
}

/* An array's elements, and a number that is pointed at, by the inner kind. */
static void elements(struct st_decoder *d, const struct st_type *type, uint64_t address, uint64_t count)
{
    struct st_type inner = {.kind = (uint8_t)type->inner, .size = type->size, .ref = type->ref};
    uint32_t size = type->inner == ST_V_STRUCT ? st_structs[type->ref].size : type->size & 15u;
    if (!address || d->pointers || (count && !st_see(d, address, size))) {
        st_address(d, address);
        return;
    }
    st_putc(d->out, '[');
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *at = st_see(d, address + i * size, size);
        if (st_element_missing(d, at, address + i * size, i)) break;
        if (type->inner == ST_V_STRUCT)
            st_structure(d, &st_structs[type->ref], address + i * size, at);
        else
            st_value(d, &inner, st_load(at, type->size));
    }
    st_putc(d->out, ']');
}

static void pointed(struct st_decoder *d, const struct st_type *type, uint64_t value)
{
    switch (type->kind) {
    case ST_V_PATH: st_path(d, value); break;
    case ST_V_STRING: st_string(d, value); break;
    case ST_V_BUFFER: st_bytes(d, value, count_of(d, type)); break;
    case ST_V_FILLED: st_bytes(d, value, (uint64_t)d->result); break;
    case ST_V_STRUCT: st_point(d, type->ref, value); break;
    case ST_V_ARRAY: elements(d, type, value, count_of(d, type)); break;
    case ST_V_POINTED: elements(d, type, value, type->aux ? type->aux : 1); break;
    default: st_address(d, value); break;
    }
}

void st_value(struct st_decoder *d, const struct st_type *type, uint64_t value)
{
    switch (type->kind) {
    case ST_V_SIGNED: st_put_signed(d->out, (int64_t)value); break;
    case ST_V_UNSIGNED: st_put_unsigned(d->out, value); break;
    case ST_V_HEX: st_put_hex(d->out, value); break;
    case ST_V_OCTAL: st_put_octal(d->out, value); break;
    case ST_V_FD: st_fd(d, (int32_t)value); break;
    case ST_V_DIRFD: st_dirfd(d, (int32_t)value); break;
    case ST_V_PID: st_pid(d, (int32_t)value); break;
    case ST_V_ID: st_id(d, (uint32_t)value); break;
    case ST_V_CREATE: /* whether it is there is seen before */
    case ST_V_MODE: st_mode(d, (uint32_t)value); break;
    case ST_V_SIGNAL: st_signal(d, value); break;
    case ST_V_SET: st_set(d, type->ref, value); break;
    case ST_V_CUSTOM: st_printers[type->ref](d, value, type); break;
    default: pointed(d, type, value); break;
    }
}

#define ST_O_CREAT 0100u
#define ST_O_TMPFILE 020200000u

static int absent(const struct st_decoder *d, const struct st_type *type)
{
    if (type->kind == ST_V_HIDDEN) return 1;
    if (type->kind != ST_V_CREATE) return 0;
    uint64_t flags = d->args[type->aux % 6];
    return !(flags & ST_O_CREAT) && (flags & ST_O_TMPFILE) != ST_O_TMPFILE;
}

void st_arguments(struct st_decoder *d, unsigned first, unsigned last)
{
    for (unsigned i = first; i < last; i++) {
        const struct st_type *type = &d->row->types[i];
        if (absent(d, type)) continue;
        st_next(d, i);
        /* What a failed call would have filled is only an address. */
        if (type->when == ST_CAPTURE_EXIT && d->failed && type->kind != ST_V_CUSTOM)
            st_address(d, d->args[i]);
        else
            st_value(d, type, narrowed(d->args[i], type->kind == ST_V_POINTED ? 8 : type->size));
    }
}
