/* An answer in place of a file: a sealed memory file, read from its start. */
#include "core.h"

#define MFD_CLOEXEC_SEALING 3
#define F_ADD_SEALS 1033
#define ALL_SEALS 15

int64_t st_content(const void *bytes, uint64_t size)
{
    int64_t fd = ST_SYS(__NR_memfd_create, "selftrace", MFD_CLOEXEC_SEALING);
    if (fd < 0) return fd;
    for (uint64_t done = 0; done < size;) {
        int64_t n = ST_SYS(__NR_pwrite64, fd, (const uint8_t *)bytes + done, size - done, done);
        if (n <= 0) {
            ST_SYS(__NR_close, fd);
            return n ? n : -ST_EAGAIN;
        }
        done += (uint64_t)n;
    }
    ST_SYS(__NR_fcntl, fd, F_ADD_SEALS, ALL_SEALS);
    return fd;
}
