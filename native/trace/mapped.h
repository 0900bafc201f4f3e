/* What lies where in the processes of a trace. */
#ifndef ST_MAPPED_H
#define ST_MAPPED_H
#include "stacks.h"

struct st_mapping {
    uint64_t low, high, offset;
    const char *path; /* interned: equal paths are the same pointer */
    int executable;
};
/* A process; `unwinder` is unwind.c's, to be made anew when `changed`. */
struct st_process {
    struct st_process *next;
    int32_t pid;
    uint32_t count, room;
    struct st_mapping *maps;
    int changed;
    void *unwinder;
};
struct st_texts;
struct st_mapped;

struct st_mapped *st_mapped_new(void);
void st_mapped_free(struct st_mapped *mapped);
void st_mapped_feed(struct st_mapped *mapped, const struct st_event *event, uint32_t size);
/* Gives up all unwinders. */
void st_mapped_rest(struct st_mapped *mapped);
struct st_process *st_mapped_find(struct st_mapped *mapped, int32_t pid);
const char *st_intern(struct st_texts **names, const char *text, uint32_t length);
void st_texts_free(struct st_texts *names);
/* The next chunk of that kind at or after *at, which moves on; NULL: no more. */
const uint8_t *st_chunk_next(const uint8_t **at, const uint8_t *end, uint32_t kind, struct st_chunk *head);
void st_unwinder_free(void *unwinder);
#endif
