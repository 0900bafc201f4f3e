/* Call stacks of events: which file lies where in each process, by the events themselves, and what libdw makes of registers
 * and stack. Outside the traced processes, which may be gone by then. */
#ifndef ST_STACKS_H
#define ST_STACKS_H
#include <stdint.h>

#include "../selftrace.h"
/* cffi: begin */
struct st_stacks;
struct st_stack_frame {
    uint64_t pc;        /* of the call: return addresses are one less */
    uint64_t address;   /* the same in the object's file, as its symbols count; 0 without one */
    uint64_t offset;    /* from the symbol */
    const char *object; /* the file; NULL: none is known to lie there */
    const char *symbol; /* demangled; NULL: none */
    const char *file;   /* of the source, where that was asked for and is known; NULL: not */
    int32_t line;
};
#define ST_STACK_FRAMES 128 /* more are cut off */

/* NULL if libdw is there to unwind with; else what the dynamic linker said. */
const char *st_stacks_missing(void);
struct st_stacks *st_stacks_new(void);
/* Frames have their place in the source from now on: -kk. */
void st_stacks_want_sources(struct st_stacks *stacks);
void st_stacks_free(struct st_stacks *stacks);
/* Takes one frame, whichever it is: keeps track of what is mapped. */
void st_stacks_feed(struct st_stacks *stacks, const uint8_t *frame, uint32_t size);
/* The stack that the frame of an entry or signal holds, innermost first; its texts live as long as `stacks`. How many; 0: none. */
uint32_t st_stacks_walk(struct st_stacks *stacks, const uint8_t *frame, uint32_t size, struct st_stack_frame *out, uint32_t most);
/* cffi: end */
#endif
