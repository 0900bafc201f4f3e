/* From frames to strace's text: what the decoders share. Ordinary libc code in the cffi module, one writer at a time. */
#ifndef ST_TEXT_H
#define ST_TEXT_H
#include <stddef.h>
#include <stdint.h>

#include "lines.h"

/* ---- a growing text -------------------------------------------------------------------------------------------------- */
struct st_buffer {
    uint8_t *data;
    uint64_t used, room;
};
uint8_t *st_room(struct st_buffer *b, uint64_t size); /* where `size` more bytes may be written; NULL: no memory */
void st_put(struct st_buffer *b, const void *text, uint64_t size);
void st_puts(struct st_buffer *b, const char *text);
void st_putc(struct st_buffer *b, char c);
void st_put_unsigned(struct st_buffer *b, uint64_t value);
void st_put_signed(struct st_buffer *b, int64_t value);
void st_put_hex(struct st_buffer *b, uint64_t value);   /* 0 or 0x... */
void st_put_octal(struct st_buffer *b, uint64_t value); /* 0 or 0... */
void st_put_padded(struct st_buffer *b, uint64_t value, int digits);
void st_buffer_free(struct st_buffer *b);
void st_putf(struct st_buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- tables, written by native/generate/decode.py into _tables.c ----------------------------------------------------- */
struct st_name {
    uint64_t value;
    const char *name;
};
struct st_set {
    const char *label;   /* its name in decode.txt */
    const char *unknown; /* for the comment behind a value without a name; NULL: none */
    const struct st_name *names;
    uint16_t count;
    uint8_t bits; /* names are bits, not values */
    uint8_t zero; /* bits: names[0] stands for 0 */
};

enum st_value_kind {
    ST_V_SIGNED,
    ST_V_UNSIGNED,
    ST_V_HEX,
    ST_V_OCTAL,
    ST_V_POINTER,
    ST_V_FD,
    ST_V_DIRFD,
    ST_V_PATH,
    ST_V_STRING,
    ST_V_PID,
    ST_V_ID,
    ST_V_MODE,   /* numeric: 0644 */
    ST_V_CREATE, /* a mode that is only there if flags args[aux] create a file */
    ST_V_SET,
    ST_V_BUFFER, /* args[aux] bytes */
    ST_V_FILLED, /* `result` bytes */
    ST_V_STRUCT, /* a pointer to structure `ref` */
    ST_V_ARRAY,  /* a pointer to args[aux] structures */
    ST_V_INLINE, /* fields: structure `ref` itself */
    ST_V_CHARS,  /* fields: characters up to a NUL */
    ST_V_SIGNAL,
    ST_V_CUSTOM, /* printer `ref` */
    ST_V_HIDDEN, /* not shown */
    ST_V_BLOB,   /* fields: bytes, as a string */
    ST_V_POINTED /* pointer to one number: [value] */
};
#define ST_AUX_RESULT 15
struct st_type {
    uint8_t kind, size;  /* size: bytes of the value; 0x80: signed */
    uint8_t aux, when;   /* when: ST_CAPTURE_ENTRY, ST_CAPTURE_EXIT: printed on entry or on exit */
    uint16_t ref, inner; /* inner: st_value_kind of an array's or a pointed-to number's elements; ST_V_STRUCT for a structure */
};
struct st_field {
    const char *name;
    struct st_type type;
    uint16_t offset, count; /* count: elements, 1: no array */
    uint8_t verbose;        /* only shown with -v */
};
struct st_struct {
    const char *name;
    const struct st_field *fields;
    uint16_t size;
    uint8_t count, cut; /* cut: has fields that only -v shows */
};
struct st_decoder;
typedef void (*st_printer)(struct st_decoder *d, uint64_t value, const struct st_type *type);
typedef int (*st_call_printer)(struct st_decoder *d);
struct st_row {
    const char *name;
    const char *arguments; /* their names, with spaces between them; "": they have none */
    const struct st_type *types;
    st_call_printer custom;
    uint8_t count, returns, restart; /* enum st_returns, enum st_restart */
};
enum st_returns { ST_RETURNS_SIGNED, ST_RETURNS_HEX, ST_RETURNS_FD, ST_RETURNS_OCTAL, ST_RETURNS_PID, ST_RETURNS_UNSIGNED };

/* What the kernel answers a call that a signal interrupts, before it becomes EINTR or the call is made again: that is what an
 * outside tracer sees, and what is shown for EINTR. */
enum st_restart { ST_RESTART_NEVER, ST_RESTART_SYS, ST_RESTART_NOHAND, ST_RESTART_BLOCK };

extern const struct st_row st_rows[ST_TRACE_CALLS]; /* name NULL: unknown */
extern const struct st_set st_sets[];
extern const struct st_struct st_structs[];
extern const st_printer st_printers[];
#define ST_ERRORS 134
struct st_error {
    const char *name, *text;
};
extern const struct st_error st_errors[ST_ERRORS];
static inline int st_known_error(int64_t error)
{
    return error > 0 && error < ST_ERRORS && st_errors[error].name;
}

/* ---- one call being decoded ------------------------------------------------------------------------------------------ */
struct st_chunks {
    const uint8_t *at;
    uint32_t size;
};
struct st_decoder {
    struct st_buffer *out;
    const struct st_lines_options *options;
    const struct st_row *row;
    const uint64_t *args;
    int64_t result;
    int32_t sysno, pid, tid;
    uint8_t exiting, failed;         /* failed: the result is an error */
    uint8_t abbrev, raw, pointers;   /* pointers: structures are not looked into */
    uint8_t depth, noted;            /* noted: there is a note, be it empty */
    struct st_chunks chunks[2];      /* the exit's (if there is one), the entry's */
    char note[512];                  /* behind the result: (Timeout) */
    const struct st_set *result_set; /* the result's flags, behind its number */
    uint32_t returns;                /* enum st_returns */
};

/* ---- the memory view ------------------------------------------------------------------------------------------------- */
/* `size` captured bytes of the program's from `address` on, or NULL. */
const uint8_t *st_see(const struct st_decoder *d, uint64_t address, uint64_t size);
/* The same, as many as there are: at most `size`; *size becomes their number. */
const uint8_t *st_see_some(const struct st_decoder *d, uint64_t address, uint64_t *size);
const uint8_t *st_see_link(const struct st_decoder *d, int32_t fd, uint32_t *size);
/* The n-th chunk of memory, for what no argument points at. */
/* The name that a task had (0: the event's own); NULL: it was not captured. */
const uint8_t *st_see_name(const struct st_decoder *d, int32_t tid, uint32_t *size);
const uint8_t *st_see_first(const struct st_decoder *d, uint64_t *address, uint32_t *size);
uint64_t st_load(const uint8_t *at, unsigned size); /* size as in st_type: 0x80 is for signed numbers */
static inline uint32_t st_load32(const uint8_t *at)
{
    uint32_t v;
    __builtin_memcpy(&v, at, 4);
    return v;
}
static inline uint64_t st_load64(const uint8_t *at)
{
    uint64_t v;
    __builtin_memcpy(&v, at, 8);
    return v;
}
static inline uint16_t st_load16(const uint8_t *at)
{
    uint16_t v;
    __builtin_memcpy(&v, at, 2);
    return v;
}

/* ---- printing -------------------------------------------------------------------------------------------------------- */
void st_value(struct st_decoder *d, const struct st_type *type, uint64_t value);
void st_address(struct st_decoder *d, uint64_t address); /* NULL or 0x... */
void st_string(struct st_decoder *d, uint64_t address);  /* up to a NUL, cut by -s */
void st_path(struct st_decoder *d, uint64_t address);
void st_bytes(struct st_decoder *d, uint64_t address, uint64_t length); /* `length` bytes, cut by -s */
enum st_quote { ST_QUOTE_BYTES, ST_QUOTE_TEXT, ST_QUOTE_WHOLE, ST_QUOTE_PLAIN };
/* Quotes bytes that are here. TEXT: ends at a NUL. WHOLE: -s does not cut. PLAIN: no quotation marks. Returns 1 if it was cut. */
int st_quoted(struct st_decoder *d, const uint8_t *text, uint64_t size, unsigned how);
void st_quote_bytes(const struct st_lines_options *o, struct st_buffer *b, const uint8_t *text, uint64_t size, unsigned hex);
void st_quote_name(const struct st_lines_options *o, struct st_buffer *b, const uint8_t *text, uint64_t size);
/* What a structure has behind the `known` bytes: nothing is said of zeros. */
void st_rest(struct st_decoder *d, uint64_t address, uint64_t known, uint64_t size);
void st_structure(struct st_decoder *d, const struct st_struct *s, uint64_t address, const uint8_t *at);
/* The fields alone, separated by commas; `first`: none was printed before. */
void st_fields(struct st_decoder *d, const struct st_struct *s, const uint8_t *at);
void st_point(struct st_decoder *d, unsigned structure, uint64_t address); /* what a pointer to a structure points at */
int st_element_missing(struct st_decoder *d, const uint8_t *at, uint64_t address, uint64_t i);
typedef void (*st_element)(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index);
/* [a, b, ...] of `count` elements of `size` bytes; NULL and unreadable addresses as such. */
void st_array(struct st_decoder *d, uint64_t address, uint64_t count, uint32_t size, st_element print);
void st_flags(struct st_decoder *d, const struct st_set *set, uint64_t value);
void st_enum(struct st_decoder *d, const struct st_set *set, uint64_t value);
void st_set(struct st_decoder *d, unsigned set, uint64_t value); /* either */
const char *st_lookup(const struct st_set *set, uint64_t value);
/* Names of bits, and what is left of them; "" and 0 if there is none. */
int st_bit_names(struct st_buffer *b, const struct st_set *set, uint64_t *value, const char *separator);
void st_signal(struct st_decoder *d, uint64_t number);
const char *st_signal_name(uint32_t number, char room[16]);
void st_sigset(struct st_decoder *d, uint64_t address, uint64_t size);
void st_sigset_bits(struct st_decoder *d, uint64_t bits);
void st_fd(struct st_decoder *d, int32_t fd);
void st_dirfd(struct st_decoder *d, int32_t fd);
void st_pid(struct st_decoder *d, int32_t pid);
void st_mode(struct st_decoder *d, uint32_t mode);          /* 0644 */
void st_symbolic_mode(struct st_decoder *d, uint32_t mode); /* S_IFREG|0644 */
void st_id(struct st_decoder *d, uint32_t id);              /* -1 as such */
void st_device(struct st_decoder *d, uint64_t device);
void st_ticks(struct st_decoder *d, uint64_t ticks);        /* of 1/100 s */
void st_note(struct st_decoder *d, struct st_buffer *text); /* becomes the note; freed */
void st_timespec_at(struct st_decoder *d, const uint8_t *at);
void st_timeval_at(struct st_decoder *d, const uint8_t *at);
void st_timespec(struct st_decoder *d, uint64_t address);
void st_timeval(struct st_decoder *d, uint64_t address);
void st_date(struct st_buffer *b, int64_t seconds, uint64_t nanoseconds, int digits); /* the comment behind a time */
void st_sockaddr(struct st_decoder *d, uint64_t address, uint64_t length);
void st_sockaddr_at(struct st_decoder *d, const uint8_t *at, uint64_t length);
void st_iovec(struct st_decoder *d, uint64_t address, uint64_t count, uint64_t left, int data);
enum st_terminal { ST_TERMIO = 18, ST_TERMIOS = 36, ST_TERMIOS2 = 44 }; /* their sizes */
void st_terminal(struct st_decoder *d, uint64_t address, enum st_terminal kind);
void st_wait_status(struct st_decoder *d, uint32_t status);
void st_siginfo_at(struct st_decoder *d, const uint8_t *at);
void st_siginfo(struct st_decoder *d, uint64_t address);
void st_error_name(struct st_buffer *b, int64_t error);
void st_arguments(struct st_decoder *d, unsigned first, unsigned last); /* by the row's types, with ", " between them */
void st_comma(struct st_decoder *d);
/* Argument i begins: a comma unless it is the first, and with -N its name. */
void st_next(struct st_decoder *d, unsigned i);
/* The same where the entry has left a comma for what the exit shows: only the name. */
void st_label(struct st_decoder *d, unsigned i);
/* An argument by one word, for calls whose arguments depend on each other. */
#define ST_ARG32(d, i) ((uint32_t)(d)->args[i])

/* The whole of a call: what is printed on entry (name, parenthesis, arguments so far) and on exit (the rest; not the result). */
void st_call_entry(struct st_decoder *d);
void st_call_exit(struct st_decoder *d);
void st_call_result(struct st_decoder *d, uint16_t flags);
int64_t st_call_interrupted(const struct st_decoder *d); /* -ERESTART..., or -EINTR */

/* Below a call's line: its data, under -e read= and -e write=. */
void st_lines_dump(struct st_decoder *d, struct st_buffer *b);
int st_lines_wanted(const struct st_lines_options *o, const struct st_entry *frame, uint32_t size); /* -P */

#include "_tables.h"
#endif
