/* Preloaded into the program: every write to a file whose path holds one of the words of FULL_DISK, apart
   by colons, ends with "no space left"; where FULL_DISK_WHILE names a file, as long as that is there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_full(int fd) {
    const char *full = getenv("FULL_DISK");
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!full || length < 0) return 0;
    const char *sign = getenv("FULL_DISK_WHILE");
    if (sign && access(sign, F_OK) != 0) return 0;
    path[length] = 0;
    char words[PATH_MAX], *rest;
    snprintf(words, sizeof words, "%s", full);
    for (char *word = strtok_r(words, ":", &rest); word; word = strtok_r(NULL, ":", &rest))
        if (strstr(path, word)) return 1;
    return 0;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    if (is_full(fd)) return errno = ENOSPC, -1;
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    return real(fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    if (is_full(fd)) return errno = ENOSPC, -1;
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    return real(fd, bytes, count, at);
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t count, unsigned flags) {
    if (is_full(out)) return errno = ENOSPC, -1;
    ssize_t (*real)(int, off64_t *, int, off64_t *, size_t, unsigned) = dlsym(RTLD_NEXT, "copy_file_range");
    return real(in, in_at, out, out_at, count, flags);
}

ssize_t sendfile64(int out, int in, off64_t *at, size_t count) {
    if (is_full(out)) return errno = ENOSPC, -1;
    ssize_t (*real)(int, int, off64_t *, size_t) = dlsym(RTLD_NEXT, "sendfile64");
    return real(out, in, at, count);
}
