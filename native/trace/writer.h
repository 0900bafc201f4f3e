/* The line writer's own state, shared by the files that write its lines. */
#ifndef ST_WRITER_H
#define ST_WRITER_H
#include <time.h>

#include "text.h"

#define ST_THREADS 1024 /* buckets */

struct thread {
    struct thread *next;
    int32_t tid, pid;
    struct st_buffer text;              /* its own output, with `split` */
    struct st_buffer held;              /* a call's text until its status is known, with a status filter */
    struct st_buffer entry;             /* the frame of the call it is in */
    uint8_t ended;                      /* its process goes on without it: what it ended with is said last */
    int32_t status;                     /* that */
    uint8_t in_call, shown, incomplete; /* shown: the call is traced; incomplete: arguments are missing until its exit */
    uint64_t line_start;                /* 1 + where its unfinished line begins, counted from the start of all its text; 0: none */
    char comm[16];
    uint8_t named; /* by an event */
    uint32_t comm_length;
    uint64_t taken; /* bytes that were taken from `text` */
};

struct st_lines {
    struct st_lines_options options;
    struct st_buffer text;
    struct thread *buckets[ST_THREADS];
    struct thread *last;
    int32_t open_tid;    /* whose line is unfinished; 0: nobody's */
    uint64_t open_start; /* where it begins, counted from the start of all text */
    uint64_t taken;      /* bytes that were taken from `text` */
    uint64_t previous;   /* time of the line before, for -r */
    uint64_t offset;     /* CLOCK_REALTIME - CLOCK_MONOTONIC */
    uint32_t threads;
    uint64_t site;  /* of the call at hand, for -i */
    int64_t number; /* of the call at hand, for -n */
    time_t minute;  /* whose local time `clock` holds */
    struct tm clock;
};

struct thread *st_thread_find(struct st_lines *l, int32_t tid);
struct thread *st_thread_of(struct st_lines *l, int32_t tid, int32_t pid);
void st_thread_forget(struct st_lines *l, struct thread *t);
void st_thread_named(struct st_lines *l, struct thread *t, const uint8_t *chunks, uint32_t size);
void st_thread_comm(struct st_lines *l, struct thread *t);
void st_put_fraction(struct st_buffer *b, uint64_t nano, unsigned digits);
void st_line_leader(struct st_lines *l, struct st_buffer *b, int32_t tid, uint64_t time);
struct st_buffer *st_line_target(struct st_lines *l, struct thread *t);
void st_line_interrupt(struct st_lines *l, int32_t tid);
struct st_buffer *st_line_begin(struct st_lines *l, struct thread *t, uint64_t time);
void st_line_end(struct st_lines *l, struct thread *t, struct st_buffer *b);
int st_line_open(const struct st_lines *l, const struct thread *t);
int st_line_undo(struct st_lines *l, struct thread *t);
void st_line_align(struct st_lines *l, struct thread *t, struct st_buffer *b, uint64_t start);
int st_bit(const uint64_t *bits, int32_t n, unsigned words);
void st_line_decoder(struct st_lines *l, struct st_decoder *d, struct st_buffer *out, const struct st_entry *entry, uint32_t size);
int st_filtered(const struct st_lines *l);
void st_line_entry(struct st_lines *l, struct thread *t, const struct st_entry *frame, uint32_t size);
void st_line_exit(struct st_lines *l, struct thread *t, const struct st_exit *frame, uint32_t size);
void st_line_abandon(struct st_lines *l, struct thread *t, uint64_t time);
void st_line_signal(struct st_lines *l, struct thread *t, const struct st_event *event, uint32_t size);
void st_line_task_end(struct st_lines *l, struct thread *t, const struct st_event *event);
void st_line_exec(struct st_lines *l, const struct st_event *event);
void st_line_stack(struct st_lines *l, struct st_buffer *b, const uint8_t *frame, uint32_t size);
void st_line_clock(struct st_lines *l, const struct st_event *event, uint32_t size);
#endif
