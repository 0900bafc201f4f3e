/* x86-64 machine code, as far as it must be understood to find bytes that are never executed; see instructions.c. */
#ifndef ST_INSTRUCTIONS_H
#define ST_INSTRUCTIONS_H
#include <stdint.h>

#pragma GCC visibility push(hidden)

#define ST_INSTRUCTION_ROOM 24 /* bytes that are looked at, at most */

struct st_instruction {
    uint32_t length; /* 0: unknown */
    uint8_t ends;    /* what follows is not reached from here: a jump, a return, a trap */
    uint8_t leads;   /* to `distance` from its end, or may */
    int32_t distance;
};
struct st_instruction st_instruction(const uint8_t *at);
uint32_t st_padding(const uint8_t *at, uint32_t left);

#pragma GCC visibility pop
#endif
