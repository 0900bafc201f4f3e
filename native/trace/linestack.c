/* The lines of a call's stack, below its own. */
#include "mapped.h"
#include "writer.h"

static void native(struct st_lines *l, struct st_buffer *b, const uint8_t *frame, uint32_t size)
{
    static struct st_stack_frame found[ST_STACK_FRAMES];
    uint32_t most = l->options.stack_frames && l->options.stack_frames < ST_STACK_FRAMES ? l->options.stack_frames : ST_STACK_FRAMES - 1;
    uint32_t count = st_stacks_walk(l->options.stacks, frame, size, found, most + 1), more = count > most;
    count -= more;
    for (uint32_t i = 0; i < count; i++) {
        const struct st_stack_frame *f = &found[i];
        st_puts(b, " > ");
        if (f->object) st_puts(b, f->object);
        if (f->object) st_putc(b, '(');
        if (f->symbol) st_putf(b, "%s+0x%llx", f->symbol, (unsigned long long)f->offset);
        if (f->object) st_puts(b, ") ");
        st_putf(b, "[%#llx]", (unsigned long long)(f->object ? f->address : f->pc));
        if (f->file) st_putf(b, " %s:%d", f->file, f->line);
        st_putc(b, '\n');
    }
    if (more) st_puts(b, " > too many stack frames\n");
}

/* One "file:line:function" of a Python stack; the file may have colons of its own. */
static void python_line(struct st_buffer *b, const char *line, uint32_t length)
{
    uint32_t function = length, number;
    while (function && line[function - 1] != ':') function--;
    for (number = function ? function - 1 : 0; number && line[number - 1] != ':'; number--) {}
    if (!number) return;
    st_puts(b, " > ");
    st_put(b, line, function - 1);
    st_puts(b, " (");
    st_put(b, line + function, length - function);
    st_puts(b, ")\n");
}

static void python(struct st_buffer *b, const uint8_t *at, const uint8_t *end)
{
    struct st_chunk head;
    const uint8_t *text = st_chunk_next(&at, end, ST_CHUNK_PYTHON, &head);
    if (!text) return;
    for (const uint8_t *line = text, *over = text + head.size; line < over;) {
        const uint8_t *next = line;
        while (next < over && *next != '\n') next++;
        python_line(b, (const char *)line, (uint32_t)(next - line));
        line = next + 1;
    }
}

/* frame: of the entry, which has the stack, or of a signal. */
void st_line_stack(struct st_lines *l, struct st_buffer *b, const uint8_t *frame, uint32_t size)
{
    uint32_t head = ((const struct st_event *)frame)->kind == ST_EVENT_ENTRY ? sizeof(struct st_entry) : sizeof(struct st_event);
    if (l->options.stacks) native(l, b, frame, size);
    if (size >= head) python(b, frame + head, frame + size);
}
