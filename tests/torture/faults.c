/* Stands between a process and its files (LD_PRELOAD): counts everything that changes a file or a
 * name below one folder, writes it to a log, and kills the process, fails, or takes the folder away
 * at the n-th. SQLite's writes go through here too. Linux, glibc. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NOTHING, KILL, TEAR, FAIL_ONCE, FAIL_ON, VANISH };

static char root[PATH_MAX];
static size_t root_length;
static int log_fd = -1, mode, error_no;
static long at, events;
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

/* Called from Python. */
void faults_arm(const char *folder, int log, long n, int what, int error)
{
    snprintf(root, sizeof root, "%s", folder);
    root_length = strlen(root);
    log_fd = log, at = n, mode = what, error_no = error, events = 0;
}

long faults_events(void) { return events; }

static void put(const void *data, size_t size)
{
    while (size) {
        long done = syscall(SYS_write, log_fd, data, size);
        if (done <= 0) abort();
        data = (const char *)data + done, size -= done;
    }
}

static void record(char op, int64_t offset, const char *path, const char *to, const void *data,
                   size_t size)
{
    if (log_fd < 0) return;
    int64_t head[5] = {op, offset, (int64_t)strlen(path), to ? (int64_t)strlen(to) : 0, (int64_t)size};
    put(head, sizeof head);
    put(path, strlen(path));
    if (to) put(to, strlen(to));
    if (size) put(data, size);
}

void faults_note(const char *text)
{
    pthread_mutex_lock(&lock);
    record('!', 0, text, NULL, NULL, 0);
    pthread_mutex_unlock(&lock);
}

/* The absolute path of a name relative to a folder's descriptor, or of a descriptor. */
static const char *resolved(int fd, const char *name, char *out)
{
    char link[64];
    if (name && name[0] == '/') { snprintf(out, PATH_MAX, "%s", name); return out; }
    if (fd == AT_FDCWD) { if (!getcwd(out, PATH_MAX)) out[0] = 0; }
    else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, out, PATH_MAX - 1);
        out[n < 0 ? 0 : n] = 0;
    }
    if (name) { size_t n = strlen(out); snprintf(out + n, PATH_MAX - n, "/%s", name); }
    return out;
}

static int ours(const char *path)
{
    return root_length && !strncmp(path, root, root_length) &&
           (path[root_length] == '/' || !path[root_length]) && !strstr(path, " (deleted)");
}

/* Count an event; 1 if it is to fail with errno set, 2 if it is to be done by half. */
static int strikes(char op)
{
    events++;
    if (mode == NOTHING || events < at) return 0;
    if (mode == KILL && events == at) { syscall(SYS_kill, getpid(), SIGKILL); pause(); }
    if (mode == TEAR && events == at) {
        if (op == 'w') return 2;
        syscall(SYS_kill, getpid(), SIGKILL); pause();
    }
    if (mode == VANISH && events == at) {
        char gone[PATH_MAX + 8];
        snprintf(gone, sizeof gone, "%s.gone", root);
        syscall(SYS_rename, root, gone);
    }
    if (mode == FAIL_ON || (mode == FAIL_ONCE && events == at)) {
        /* A full disk can still be synced, and names taken away; a read-only one can be synced. */
        if (error_no == ENOSPC && strchr("suUrR", op)) return 0;
        if (error_no == EROFS && op == 's') return 0;
        errno = error_no;
        return 1;
    }
    return 0;
}

static ssize_t written(int fd, const void *data, size_t size, off_t offset, int placed)
{
    char path[PATH_MAX];
    if (!root_length || !ours(resolved(fd, NULL, path)))
        return placed ? syscall(SYS_pwrite64, fd, data, size, offset) : syscall(SYS_write, fd, data, size);
    pthread_mutex_lock(&lock);
    int strike = strikes('w');
    ssize_t done = -1;
    if (strike == 2) size /= 2;
    if (strike != 1) {
        if (!placed) {
            int append = fcntl(fd, F_GETFL) & O_APPEND;
            offset = lseek(fd, 0, append ? SEEK_END : SEEK_CUR);
        }
        done = placed ? syscall(SYS_pwrite64, fd, data, size, offset) : syscall(SYS_write, fd, data, size);
        if (done > 0) record('w', offset, path, NULL, data, done);
    }
    if (strike == 2) { syscall(SYS_kill, getpid(), SIGKILL); pause(); }
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}

ssize_t write(int fd, const void *data, size_t size) { return written(fd, data, size, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return written(fd, data, size, offset, 1); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return written(fd, data, size, offset, 1); }

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    ssize_t all = 0;
    for (int n = 0; n < count; n++) {
        ssize_t done = write(fd, parts[n].iov_base, parts[n].iov_len);
        if (done < 0) return all ? all : done;
        all += done;
        if ((size_t)done < parts[n].iov_len) break;
    }
    return all;
}

/* What would copy within the system: "not supported" makes Python fall back on write. */
ssize_t sendfile(int out, int in, off_t *offset, size_t count)
{
    char path[PATH_MAX];
    if (root_length && ours(resolved(out, NULL, path))) { errno = EINVAL; return -1; }
    return syscall(SYS_sendfile, out, in, offset, count);
}
ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) { return sendfile(out, in, offset, count); }
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t count, unsigned flags)
{
    char path[PATH_MAX];
    if (root_length && ours(resolved(out, NULL, path))) { errno = EXDEV; return -1; }
    return syscall(SYS_copy_file_range, in, from, out, to, count, flags);
}

static int opened(int fd, const char *name, int flags, mode_t rights)
{
    char path[PATH_MAX];
    struct stat state;
    if (!root_length || !(flags & (O_CREAT | O_TRUNC)) || !ours(resolved(fd, name, path)))
        return syscall(SYS_openat, fd, name, flags, rights);
    pthread_mutex_lock(&lock);
    int there = stat(path, &state) == 0, done = -1;
    int changes = !there || ((flags & O_TRUNC) && state.st_size);
    if (!changes || strikes(there ? 't' : 'c') != 1) {
        done = syscall(SYS_openat, fd, name, flags, rights);
        if (done >= 0 && changes) record(there ? 't' : 'c', 0, path, NULL, NULL, 0);
    }
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}

#define RIGHTS mode_t rights = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); rights = va_arg(more, mode_t); va_end(more); }
int open(const char *name, int flags, ...) { RIGHTS return opened(AT_FDCWD, name, flags, rights); }
int open64(const char *name, int flags, ...) { RIGHTS return opened(AT_FDCWD, name, flags, rights); }
int openat(int fd, const char *name, int flags, ...) { RIGHTS return opened(fd, name, flags, rights); }
int openat64(int fd, const char *name, int flags, ...) { RIGHTS return opened(fd, name, flags, rights); }

/* A call on a descriptor or on names: count it, do it, record it. */
#define DO(op, offset, path, to, call) ({ \
    long done = -1; \
    pthread_mutex_lock(&lock); \
    if (strikes(op) != 1) { done = (call); if (done >= 0) record(op, offset, path, to, NULL, 0); } \
    int kept = errno; \
    pthread_mutex_unlock(&lock); \
    errno = kept; \
    done; })

static int synced(int fd, int number)
{
    char path[PATH_MAX];
    if (!root_length || !ours(resolved(fd, NULL, path))) return syscall(number, fd);
    return DO('s', 0, path, NULL, syscall(number, fd));
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int ftruncate(int fd, off_t size)
{
    char path[PATH_MAX];
    if (!root_length || !ours(resolved(fd, NULL, path))) return syscall(SYS_ftruncate, fd, size);
    return DO('t', size, path, NULL, syscall(SYS_ftruncate, fd, size));
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

static int two(char op, int fd, const char *from, int to_fd, const char *to)
{
    char path[PATH_MAX], new[PATH_MAX];
    int number = op == 'r' ? SYS_renameat : SYS_linkat;
    resolved(fd, from, path), resolved(to_fd, to, new);
    if (!root_length || !(ours(path) || ours(new))) return syscall(number, fd, from, to_fd, to, 0);
    return DO(op, 0, path, new, syscall(number, fd, from, to_fd, to, 0));
}
int rename(const char *from, const char *to) { return two('r', AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int fd, const char *from, int to_fd, const char *to) { return two('r', fd, from, to_fd, to); }
int link(const char *from, const char *to) { return two('l', AT_FDCWD, from, AT_FDCWD, to); }
int linkat(int fd, const char *from, int to_fd, const char *to, int flags) { (void)flags; return two('l', fd, from, to_fd, to); }

static int away(int fd, const char *name, int flags)
{
    char path[PATH_MAX];
    if (!root_length || !ours(resolved(fd, name, path))) return syscall(SYS_unlinkat, fd, name, flags);
    return DO(flags ? 'R' : 'u', 0, path, NULL, syscall(SYS_unlinkat, fd, name, flags));
}
int unlink(const char *name) { return away(AT_FDCWD, name, 0); }
int unlinkat(int fd, const char *name, int flags) { return away(fd, name, flags); }
int rmdir(const char *name) { return away(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int fd, const char *name, mode_t rights)
{
    char path[PATH_MAX];
    if (!root_length || !ours(resolved(fd, name, path))) return syscall(SYS_mkdirat, fd, name, rights);
    return DO('m', 0, path, NULL, syscall(SYS_mkdirat, fd, name, rights));
}
int mkdir(const char *name, mode_t rights) { return mkdirat(AT_FDCWD, name, rights); }
